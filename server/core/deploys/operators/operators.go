package operators

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/mail"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

const (
	window         = 15 * time.Minute
	mostPerPair    = 10  // refused log-ins of one account from one address
	mostPerAddress = 50  // of all accounts
	mostPerAccount = 100 // from all addresses: one stranger alone cannot lock an operator out
	sessionLife    = 90 * 24 * time.Hour
	minPassword    = 8
	maxPassword    = 72 // what bcrypt looks at, in bytes
	maxLabel       = 100
)

// Master is the name of whoever holds the master key.
const Master = "the master key"

// Config is what the service works with.
type Config struct {
	DB        *pg.DB
	MasterKey string // passes as a token; "" does not
	Cost      int    // of bcrypt; 0: its default
}

// Service is the accounts of one app. It is safe for concurrent use.
type Service struct {
	c      Config
	store  store
	nobody []byte        // compared with where there is no account, so that the answer takes as long
	slots  chan struct{} // a flood of log-ins gets this share of the processors and no more
}

// Operator is an account.
type Operator struct {
	Email   string    `db:"email" json:"email"`
	Created time.Time `db:"created_at" json:"created_at"`
}

// Token is what a client may show instead of a password. The text itself is known to nobody.
type Token struct {
	ID      string     `db:"id" json:"id"`
	Email   string     `db:"email" json:"email"`
	Label   string     `db:"label" json:"label"`
	Created time.Time  `db:"created_at" json:"created_at"`
	Expires *time.Time `db:"expires_at" json:"expires_at"` // nil: never
}

// New returns the service.
func New(c Config) *Service {
	c.Cost = cmp.Or(c.Cost, bcrypt.DefaultCost)
	s := &Service{c: c, store: store{c.DB}, slots: make(chan struct{}, 2)}
	s.nobody, _ = bcrypt.GenerateFromPassword([]byte("nobody"), c.Cost) // it fails for a bad cost only
	return s
}

// Add makes an account. Reasons: operators.bad_email, operators.bad_password, operators.exists.
func (s *Service) Add(ctx context.Context, email, password string) error {
	email, hash, err := s.account(ctx, email, password)
	if err != nil {
		return err
	}
	_, err = s.c.DB.Exec(ctx, sqlAdd, email, hash)
	if fault.Is(err, "pg.unique") {
		return fault.New(fault.Duplicate, "operators.exists", "there is an operator %s already", email)
	}
	return err
}

// AddFirst makes an account where there is none at all, and says whether it did. An account that is there keeps its password.
func (s *Service) AddFirst(ctx context.Context, email, password string) (bool, error) {
	var any bool
	if err := s.c.DB.Get(ctx, &any, sqlAny); err != nil || any {
		return false, err
	}
	email, hash, err := s.account(ctx, email, password)
	if err != nil {
		return false, err
	}
	n, err := s.c.DB.Exec(ctx, sqlAddFirst, email, hash)
	return n == 1, err
}

func (s *Service) account(ctx context.Context, email, password string) (name string, hash []byte, err error) {
	if a, err := mail.ParseAddress(email); err != nil || a.Address != strings.TrimSpace(email) {
		return "", nil, fault.Argument("operators.bad_email", "email", "%.100q is no e-mail address", email)
	}
	if len(password) < minPassword || len(password) > maxPassword {
		return "", nil, fault.Argument("operators.bad_password", "password", "a password has %d to %d bytes", minPassword, maxPassword)
	}
	err = s.work(ctx, func() (err error) {
		hash, err = bcrypt.GenerateFromPassword([]byte(password), s.c.Cost)
		return err
	})
	return canonical(email), hash, err
}

func canonical(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// Remove removes an account with its tokens. Reason operators.unknown.
func (s *Service) Remove(ctx context.Context, email string) error {
	n, err := s.c.DB.Exec(ctx, sqlRemove, canonical(email))
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "operators.unknown", "there is no operator %.100s", email)
	}
	return err
}

// List returns all accounts by their names.
func (s *Service) List(ctx context.Context) ([]Operator, error) {
	all := []Operator{}
	return all, s.c.DB.Select(ctx, &all, sqlList)
}

// LogIn checks a password and returns a new token for 90 days. address is the client's. Reasons:
// operators.refused for a wrong name and a wrong password alike, operators.too_many_failures.
func (s *Service) LogIn(ctx context.Context, email, password, address string) (token string, err error) {
	email = canonical(email)
	c := s.counted(email, address)
	err = s.work(ctx, func() error {
		f, err := s.store.failures(ctx, c)
		if err != nil {
			return err
		}
		if f.Pair >= mostPerPair || f.Address >= mostPerAddress || f.Account >= mostPerAccount {
			return fault.New(fault.RateLimited, "operators.too_many_failures", "too many refused log-ins; try again in %d minutes", int(window.Minutes()))
		}
		hash := s.nobody
		err = s.c.DB.Get(ctx, &hash, sqlPassword, email)
		known := err == nil
		if err != nil && !fault.Is(err, "pg.no_rows") {
			return err
		}
		if bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known {
			return nil
		}
		if err := s.store.fail(ctx, c); err != nil {
			return err
		}
		return fault.New(fault.CredentialsRefused, "operators.refused", "the e-mail address or the password is wrong")
	})
	if err != nil {
		return "", err
	}
	life := int64(sessionLife / time.Second)
	_, token, err = s.token(ctx, email, "log-in", &life)
	return token, err
}

// CreateToken makes a token that does not expire, for programs. Its text is returned only here. Reasons:
// operators.bad_label, operators.unknown.
func (s *Service) CreateToken(ctx context.Context, email, label string) (Token, string, error) {
	if label = strings.TrimSpace(label); label == "" || len(label) > maxLabel {
		return Token{}, "", fault.Argument("operators.bad_label", "label", "a token needs a label of at most %d bytes, which says what it is for", maxLabel)
	}
	return s.token(ctx, canonical(email), label, nil)
}

func (s *Service) token(ctx context.Context, email, label string, life *int64) (Token, string, error) {
	t, text := Token{ID: rand.Text()[:10], Email: email, Label: label, Created: time.Now()}, "crema_"+rand.Text()+rand.Text()
	err := s.store.addToken(ctx, sum(text), t.ID, email, label, life)
	if fault.Is(err, "pg.foreign_key") {
		err = fault.New(fault.NotFound, "operators.unknown", "there is no operator %.100s", email)
	}
	return t, text, err
}

// Tokens returns all tokens that are good, oldest first.
func (s *Service) Tokens(ctx context.Context) ([]Token, error) {
	all := []Token{}
	return all, s.c.DB.Select(ctx, &all, sqlTokens)
}

// Revoke ends a token by its id. Reason operators.no_token.
func (s *Service) Revoke(ctx context.Context, id string) error {
	n, err := s.c.DB.Exec(ctx, sqlRevoke, id)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "operators.no_token", "there is no token %.40s", id)
	}
	return err
}

// Who returns the name of the operator that a token stands for. Reason operators.token_refused.
func (s *Service) Who(ctx context.Context, token string) (string, error) {
	if s.c.MasterKey != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.c.MasterKey)) == 1 {
		return Master, nil
	}
	var email string
	err := s.c.DB.Get(ctx, &email, sqlWho, sum(token))
	if fault.Is(err, "pg.no_rows") {
		err = fault.New(fault.TokenRefused, "operators.token_refused", "the token is not accepted; log in again")
	}
	return email, err
}

// work runs what takes a processor for long.
func (s *Service) work(ctx context.Context, fn func() error) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return fault.From(ctx.Err())
	}
	defer func() { <-s.slots }()
	return fn()
}

func sum(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}

// counted is what a refused log-in counts against: keyed hashes, because names and addresses say who somebody is.
type counted struct{ pair, address, account string }

func (s *Service) counted(email, address string) counted {
	address = network(address)
	return counted{s.hidden("pair", email, address), s.hidden("address", address), s.hidden("account", email)}
}

func (s *Service) hidden(kind string, texts ...string) string {
	mac := hmac.New(sha256.New, []byte(s.c.MasterKey))
	mac.Write([]byte(kind + "\x00" + strings.Join(texts, "\x00")))
	return kind + " " + hex.EncodeToString(mac.Sum(nil)[:12])
}

// network is what one client has: of IPv6 a whole network.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return address
	}
	net, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return net.String()
}
