package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Users is how people sign up and log in.
type Users struct {
	AuthKeys          [][]string    // AUTH_RECORD_KEYS: the sets of fields that identify a user; nil is the default
	TokenLife         time.Duration // TOKEN_STORE_EXPIRY; 0: tokens do not expire
	CustomTokenSecret Secret        // CUSTOM_TOKEN_SECRET; "" is off
	VerifyRequired    bool          // VERIFY_REQUIRED
	Passwords         Passwords
	Limits            LogInLimits
}

// Passwords say which passwords are good enough: USER_AUDIT_PW_*. The zero value takes all.
type Passwords struct {
	MinLength, MinGuessable, HistorySize, HistoryDays, ExpiryDays int
	Uppercase, Lowercase, Digit, Symbol                           bool
	ExcludedKeywords, ExcludedFields                              []string
}

// LogInLimits keep guessers out. 0 is the default of the users room.
type LogInLimits struct {
	FailuresPerAccount int64 // app.json log_in.limits.failures_per_account, in the window
	FailuresPerAddress int64 // app.json log_in.limits.failures_per_address, in the window
	WindowSeconds      int64 // app.json log_in.limits.window_seconds
}

// maxFailures is how far the users room counts.
const maxFailures = 10_000

func (u *Users) read(v *variables) {
	u.AuthKeys = v.keySets("AUTH_RECORD_KEYS")
	u.CustomTokenSecret = v.secret("CUSTOM_TOKEN_SECRET")
	v.boolean("VERIFY_REQUIRED", &u.VerifyRequired)
	seconds := 0
	v.whole("TOKEN_STORE_EXPIRY", &seconds, 0, 100*365*24*60*60)
	u.TokenLife = time.Duration(seconds) * time.Second
	u.Passwords.read(v)
}

func (p *Passwords) read(v *variables) {
	const prefix = "USER_AUDIT_PW_"
	v.whole(prefix+"MIN_LENGTH", &p.MinLength, 0, 72)
	v.boolean(prefix+"UPPERCASE_REQUIRED", &p.Uppercase)
	v.boolean(prefix+"LOWERCASE_REQUIRED", &p.Lowercase)
	v.boolean(prefix+"DIGIT_REQUIRED", &p.Digit)
	v.boolean(prefix+"SYMBOL_REQUIRED", &p.Symbol)
	v.whole(prefix+"MIN_GUESSABLE_LEVEL", &p.MinGuessable, 0, 5)
	p.ExcludedKeywords = v.words(prefix + "EXCLUDED_KEYWORDS")
	p.ExcludedFields = v.words(prefix + "EXCLUDED_FIELDS")
	v.whole(prefix+"HISTORY_SIZE", &p.HistorySize, 0, 50)
	v.whole(prefix+"HISTORY_DAYS", &p.HistoryDays, 0, 36500)
	v.whole(prefix+"EXPIRY_DAYS", &p.ExpiryDays, 0, 36500)
}

func (v *variables) whole(name string, to *int, low, high int) {
	s, ok := v.get(name)
	if !ok {
		return
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		v.p.add("%s is %q; it must be a whole number from %d to %d", name, s, low, high)
		return
	}
	*to = n
}

// words are separated by commas.
func (v *variables) words(name string) []string {
	s, ok := v.get(name)
	if !ok {
		return nil
	}
	list := strings.Split(s, ",")
	for i, w := range list {
		list[i] = strings.TrimSpace(w)
	}
	return slices.DeleteFunc(list, func(w string) bool { return w == "" })
}

// keySet is one set in brackets, or one name without.
var keySet = regexp.MustCompile(`^\s*(?:\(([^()]*)\)|([^(),]+))\s*(?:,|$)`)

// keySets reads "username,email" and "(username),(email,phone)".
func (v *variables) keySets(name string) [][]string {
	s, ok := v.get(name)
	if !ok {
		return nil
	}
	var sets [][]string
	for rest := s; rest != ""; {
		m := keySet.FindStringSubmatch(rest)
		if m == nil {
			v.badKeys(name, s)
			return nil
		}
		var set []string
		for key := range strings.SplitSeq(m[1]+m[2], ",") {
			if key = strings.TrimSpace(key); key == "" || key[0] == '_' || slices.Contains(set, key) {
				v.badKeys(name, s)
				return nil
			}
			set = append(set, key)
		}
		sets = append(sets, set)
		rest = rest[len(m[0]):]
	}
	return sets
}

func (v *variables) badKeys(name, value string) {
	v.p.add("%s is %q; it must be sets of names of fields, such as (username),(email,phone)", name, value)
}
