package users

import (
	"strings"
	"time"

	zxcvbn "github.com/ccojocar/zxcvbn-go"

	"crema/server/base/fault"
	"crema/server/core/records"
)

// Policy says which passwords are good enough. The zero Policy takes all. Wire: skygear §2.2, §6.
type Policy struct {
	MinLength        int // bytes
	Uppercase        bool
	Lowercase        bool
	Digit            bool
	Symbol           bool
	ExcludedKeywords []string
	ExcludedFields   []string // of the user, whose values must not be part of the password
	MinGuessable     int      // 1 to 5: the estimate of zxcvbn and one; 0 is off
	HistorySize      int      // how many earlier passwords must not come again
	HistoryDays      int      // for how long they must not
	ExpiryDays       int      // after which a new password is asked for
}

// maxHistory bounds how many hashes a new password is compared with: each costs as much as a log-in.
const maxHistory = 50

func (p *Policy) keepsHistory() bool { return p.HistorySize > 0 || p.HistoryDays > 0 }

// expired is about when the password was changed, which is the mark of the tokens.
func (p *Policy) expired(s standing, now time.Time) bool {
	return p.ExpiryDays > 0 && s.hasPassword && s.validSince != nil && now.After(s.validSince.AddDate(0, 0, p.ExpiryDays))
}

// check refuses a password with the first rule that it breaks. fields are those of the user. It fails
// with users.no_password or users.long_password (Invalid), else with users.password_policy, whose
// detail "reason" is the wire's.
func (p *Policy) check(password string, fields []records.Field) error {
	switch {
	case password == "":
		return fault.Argument("users.no_password", "password", "password must be a text that is not empty")
	case len(password) > maxPassword:
		return fault.Argument("users.long_password", "password", "a password has at most %d bytes", maxPassword)
	case len(password) < p.MinLength:
		return violated("PasswordTooShort", "the password needs at least %d bytes", p.MinLength).With("min_length", p.MinLength).With("pw_length", len(password))
	}
	for _, c := range []struct {
		wanted  bool
		of      func(byte) bool
		reason  string
		message string
	}{
		{p.Uppercase, func(b byte) bool { return b >= 'A' && b <= 'Z' }, "PasswordUppercaseRequired", "the password needs an upper-case letter from A to Z"},
		{p.Lowercase, func(b byte) bool { return b >= 'a' && b <= 'z' }, "PasswordLowercaseRequired", "the password needs a lower-case letter from a to z"},
		{p.Digit, func(b byte) bool { return b >= '0' && b <= '9' }, "PasswordDigitRequired", "the password needs a digit"},
		{p.Symbol, isSymbol, "PasswordSymbolRequired", "the password needs a symbol"},
	} {
		if c.wanted && !anyByte(password, c.of) {
			return violated(c.reason, "%s", c.message)
		}
	}
	return p.checkWords(password, fields)
}

// isSymbol is everything that is neither a letter nor a digit of ASCII.
func isSymbol(b byte) bool {
	return (b < '0' || b > '9') && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z')
}

func anyByte(s string, of func(byte) bool) bool {
	for i := range len(s) {
		if of(s[i]) {
			return true
		}
	}
	return false
}

func (p *Policy) checkWords(password string, fields []records.Field) error {
	words := append([]string(nil), p.ExcludedKeywords...)
	for _, f := range fields {
		for _, name := range p.ExcludedFields {
			if text, ok := f.Value.(string); ok && f.Name == name {
				words = append(words, text)
			}
		}
	}
	lower := strings.ToLower(password)
	for _, w := range words {
		if w != "" && strings.Contains(lower, strings.ToLower(w)) {
			return violated("PasswordContainingExcludedKeywords", "the password contains a word that it must not contain")
		}
	}
	if p.MinGuessable == 0 {
		return nil
	}
	if level := zxcvbn.PasswordStrength(password, words).Score + 1; level < p.MinGuessable {
		return violated("PasswordBelowGuessableLevel", "the password is too easy to guess").With("min_level", p.MinGuessable).With("pw_level", level)
	}
	return nil
}

func (p *Policy) reused() error {
	return violated("PasswordReused", "this password was used before").With("history_size", p.HistorySize).With("history_days", p.HistoryDays)
}

func violated(reason, format string, args ...any) *fault.Error {
	return fault.New(fault.PolicyViolated, "users.password_policy", format, args...).With("reason", reason)
}
