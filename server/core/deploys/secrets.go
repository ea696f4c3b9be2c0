package deploys

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"regexp"
	"slices"
	"strings"
	"time"

	"crema/server/base/fault"
)

// secretName is what a variable of the environment may be called.
var secretName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,99}$`)

const maxSecret = 32 << 10

// Secret is one that functions find in their environment. Its value is known to them only.
type Secret struct {
	Name    string    `db:"name" json:"name"`
	Sealed  []byte    `db:"sealed" json:"-"`
	Changed time.Time `db:"changed_at" json:"changed_at"`
}

// Secrets returns what there is, by name.
func (s *Service) Secrets(ctx context.Context) ([]Secret, error) {
	all := []Secret{}
	return all, s.c.DB.Select(ctx, &all, sqlSecrets)
}

// SetSecret stores a secret, sealed, and starts the functions anew with it, in the background. It returns that
// job. Reasons: deploys.bad_secret.
func (s *Service) SetSecret(ctx context.Context, by, name, value string) (job string, err error) {
	switch {
	case !secretName.MatchString(name):
		return "", fault.Argument("deploys.bad_secret", "name", "a secret's name has capital letters, digits and _, at most 100")
	case slices.Contains(s.c.Reserved, name) || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "PYTHON") || strings.HasPrefix(name, "NODE_"):
		return "", fault.Argument("deploys.bad_secret", "name", "the server sets %s itself", name)
	case len(value) > maxSecret || strings.Contains(value, "\x00"):
		return "", fault.Argument("deploys.bad_secret", "value", "a secret has at most %d bytes, and no byte 0", maxSecret)
	}
	box, err := s.box()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, box.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	if _, err := s.c.DB.Exec(ctx, sqlSetSecret, name, box.Seal(nonce, nonce, []byte(value), []byte(name))); err != nil {
		return "", err
	}
	return s.restart(ctx, by, "secret "+name)
}

// DeleteSecret removes a secret and starts the functions anew without it. It returns that job. Reason deploys.no_secret.
func (s *Service) DeleteSecret(ctx context.Context, by, name string) (job string, err error) {
	n, err := s.c.DB.Exec(ctx, sqlDeleteSecret, name)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "deploys.no_secret", "there is no secret %.100s", name)
	}
	if err != nil {
		return "", err
	}
	return s.restart(ctx, by, "secret "+name)
}

func (s *Service) box() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.c.Key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "deploys.seal", "secrets cannot be sealed")
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "deploys.seal", "secrets cannot be sealed")
	}
	return box, nil
}

// secrets opens all. One that was sealed under another master key is left out and told.
func (s *Service) secrets(ctx context.Context) (map[string]string, error) {
	all, err := s.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	box, err := s.box()
	if err != nil {
		return nil, err
	}
	opened := map[string]string{}
	for _, one := range all {
		if len(one.Sealed) < box.NonceSize() {
			continue
		}
		value, err := box.Open(nil, one.Sealed[:box.NonceSize()], one.Sealed[box.NonceSize():], []byte(one.Name))
		if err != nil {
			s.c.Log.ErrorContext(ctx, "a secret cannot be opened, since the master key is another one than when it was set; set it again", "secret", one.Name)
			continue
		}
		opened[one.Name] = string(value)
	}
	return opened, nil
}
