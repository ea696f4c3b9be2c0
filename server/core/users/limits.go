package users

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
)

// Limits keep guessers out. Refused log-ins count, not log-ins: many users may stand behind one address.
// They are counted in PostgreSQL, so servers share them. A zero value is its default.
type Limits struct {
	FailuresPerAccount int           // 10
	FailuresPerAddress int           // 100
	Window             time.Duration // 15 minutes
}

func (l Limits) withDefaults() Limits {
	if l.FailuresPerAccount == 0 {
		l.FailuresPerAccount = 10
	}
	if l.FailuresPerAddress == 0 {
		l.FailuresPerAddress = 100
	}
	if l.Window == 0 {
		l.Window = 15 * time.Minute
	}
	return l
}

// counted is what a refused log-in counts against.
type counted struct {
	account string // of a known account, else of the names that were given; "" when nobody can tell
	address string // "" when it is not known
}

func ofAccount(id string) string { return "account:" + id }

// hidden is a keyed hash, because names and addresses say who somebody is.
func (s *Service) hidden(kind, text string) string {
	mac := hmac.New(sha256.New, []byte(s.c.HashKey))
	mac.Write([]byte(kind + "\x00" + text))
	return kind + ":" + hex.EncodeToString(mac.Sum(nil))
}

// address is that of the client in ctx. Of IPv6 it is the network, which is what one client has.
func (s *Service) address(ctx context.Context) string {
	text := acl.FromContext(ctx).Address
	if text == "" {
		return ""
	}
	if ip, err := netip.ParseAddr(text); err == nil && ip.Is6() && !ip.Is4In6() {
		if net, err := ip.WithZone("").Prefix(64); err == nil {
			text = net.String()
		}
	}
	return s.hidden("address", text)
}

// over refuses a further try.
func (l Limits) over(f failures) error {
	if f.ofAccount < l.FailuresPerAccount && f.ofAddress < l.FailuresPerAddress {
		return nil
	}
	return fault.New(fault.RateLimited, "users.too_many_failures", "too many refused log-ins; try again in %d minutes", int((l.Window+time.Minute-1)/time.Minute))
}

// failures are refused log-ins in the window.
type failures struct{ ofAccount, ofAddress int }

// failed counts a refused log-in. It also forgets some that are too old to count.
func (s *Service) failed(ctx context.Context, c counted) error {
	list := slices.DeleteFunc([]string{c.account, c.address}, func(s string) bool { return s == "" })
	if len(list) == 0 {
		return nil
	}
	now := s.now()
	_, err := s.db.Exec(ctx, insertFailures, pg.Array(list), now, now.Add(-s.c.Limits.Window))
	return err
}

// mayTry refuses an address that was refused too often.
func (s *Service) mayTry(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	var f failures
	if err := s.db.Get(ctx, &f.ofAddress, selectAddressFailures, address, s.now().Add(-s.c.Limits.Window)); err != nil {
		return err
	}
	return s.c.Limits.over(f)
}

func wrongPassword() *fault.Error {
	return fault.New(fault.CredentialsRefused, "users.wrong_password", "the password is wrong")
}

// names is the text of what somebody tries to log in with, for the counts.
func names(values []string) string { return strings.ToLower(strings.Join(values, "\x00")) }
