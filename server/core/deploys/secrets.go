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
	"crema/server/base/pg"
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

// change is a secret that is set, or removed when sealed is nil.
type change struct {
	name, value string
	sealed      []byte
}

// SetSecret starts the functions anew with a secret, in the background, and stores it, sealed, in the moment when they are live:
// one that they do not start with is not kept. Where others cannot be opened any more it is kept at once, since the functions may
// need all of them. It returns that job. Reasons: deploys.bad_secret.
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
	c := change{name, value, box.Seal(nonce, nonce, []byte(value), []byte(name))}
	_, lost, err := s.secrets(ctx)
	if err == nil && lost > 0 {
		_, err = s.c.DB.Exec(ctx, sqlSetSecret, c.name, c.sealed)
	}
	if err != nil {
		return "", err
	}
	return s.restart(ctx, by, c)
}

// DeleteSecret removes a secret in the same way. It returns the job. Reason deploys.no_secret.
func (s *Service) DeleteSecret(ctx context.Context, by, name string) (job string, err error) {
	var there bool
	err = s.c.DB.Get(ctx, &there, sqlHasSecret, name)
	if err == nil && !there {
		err = fault.New(fault.NotFound, "deploys.no_secret", "there is no secret %.100s", name)
	}
	if err != nil {
		return "", err
	}
	return s.restart(ctx, by, change{name: name})
}

// apply makes the change in what functions get.
func (c *change) apply(secrets map[string]string) {
	switch {
	case c == nil:
	case c.sealed == nil:
		delete(secrets, c.name)
	default:
		secrets[c.name] = c.value
	}
}

// store makes the change in the database.
func (c *change) store(ctx context.Context, tx *pg.Tx) (err error) {
	switch {
	case c == nil:
	case c.sealed == nil:
		_, err = tx.Exec(ctx, sqlDeleteSecret, c.name)
	default:
		_, err = tx.Exec(ctx, sqlSetSecret, c.name, c.sealed)
	}
	return err
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

// secrets opens all. One that was sealed under another master key is lost: it is left out and told.
func (s *Service) secrets(ctx context.Context) (opened map[string]string, lost int, err error) {
	all, err := s.Secrets(ctx)
	if err != nil {
		return nil, 0, err
	}
	box, err := s.box()
	if err != nil {
		return nil, 0, err
	}
	opened = map[string]string{}
	for _, one := range all {
		if len(one.Sealed) < box.NonceSize() {
			continue
		}
		value, err := box.Open(nil, one.Sealed[:box.NonceSize()], one.Sealed[box.NonceSize():], []byte(one.Name))
		if err != nil {
			lost++
			s.c.Log.ErrorContext(ctx, "a secret cannot be opened, since the master key is another one than when it was set; set it again", "secret", one.Name)
			continue
		}
		opened[one.Name] = string(value)
	}
	return opened, lost, nil
}
