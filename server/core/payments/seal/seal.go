// Package seal encrypts card tokens for as long as their attempt is open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// Sealer encrypts card tokens. Every server that may charge has the provider's secret key and so can
// open what another one sealed; a copy of the database alone cannot.
type Sealer struct{ aead cipher.AEAD }

// New returns a Sealer under a key that comes from the provider's secret key.
func New(secretKey string) (Sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(secretKey), nil, "crema card token", 32)
	if err != nil {
		return Sealer{}, fmt.Errorf("token key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return Sealer{}, fmt.Errorf("token key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	return Sealer{aead}, err
}

// Seal binds the token to its payment, so that a sealed token is useless in another row.
func (s Sealer) Seal(token, paymentID string) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: it ends the process instead
	return s.aead.Seal(nonce, nonce, []byte(token), []byte(paymentID))
}

// Open returns "" for what was sealed under another key: the caller then looks up instead of sending.
func (s Sealer) Open(sealed []byte, paymentID string) string {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return ""
	}
	token, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(paymentID))
	if err != nil {
		return ""
	}
	return string(token)
}

// Hash is what of a token stays in the database: enough to tell whether a call repeats it.
func Hash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
