package payments

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// sealer encrypts card tokens. Every server that may charge has the provider's secret key and so can
// open what another one sealed; a copy of the database alone cannot.
type sealer struct{ aead cipher.AEAD }

func newSealer(secretKey string) (sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(secretKey), nil, "crema card token", 32)
	if err != nil {
		return sealer{}, fmt.Errorf("token key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("token key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead}, err
}

// seal binds the token to its payment, so that a sealed token is useless in another row.
func (s sealer) seal(token, paymentID string) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: it ends the process instead
	return s.aead.Seal(nonce, nonce, []byte(token), []byte(paymentID))
}

// open returns "" for what was sealed under another key: the caller then looks up instead of sending.
func (s sealer) open(sealed []byte, paymentID string) string {
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

func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
