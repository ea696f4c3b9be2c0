package telemetry

import (
	"regexp"
	"strings"
)

// mask stands where a secret stood.
const mask = "[redacted]"

// A card number has 13 to 19 digits.
const (
	cardMin = 13
	cardMax = 19
)

// quoted is a JSON string, perhaps inside another one.
const quoted = `\\"[^"\\]*\\"|"(?:[^"\\]|\\.)*"`

var (
	// keyMaterial is what Stripe makes: keys, webhook secrets, client secrets, card tokens.
	keyMaterial = regexp.MustCompile(`(?:sk|rk|pk)_(?:test|live)_\w+|whsec_\w+|\w+_secret_\w+|tok_1\w+`)
	// urlPassword is the password in a URL. In PostgreSQL's it may hold a bare slash or at sign.
	urlPassword = regexp.MustCompile(`(postgres(?:ql)?://[^:/?#\s]*):[^\s"']*@|(\w+://[^:/?#@\s]*):[^/?#@\s]+@`)
	// headerSecret is a header whose whole value is secret, up to the end of its line.
	headerSecret = regexp.MustCompile(`(?i)((?:authorization|stripe-signature|cookie)\\?"?\s*[:=]\s*)(` + quoted + `|[^\r\n"]+)`)
	// namedSecret is a value that its name gives away: a JSON member, a part of a DSN or of a query.
	namedSecret = regexp.MustCompile(`(?i)((?:api[_-]?key|master[_-]?key|secret[_-]?key|password|access[_-]?token)\\?"?\s*[:=]\s*)(` + quoted + `|'[^']*'|[^\s,;&}"]+)`)
)

// Redact returns s without key material, card numbers and passwords. A string that holds none comes
// back as it is, without allocation.
func Redact(s string) string {
	digits, underscore, named, url := hints(s)
	if underscore && (strings.Contains(s, "_test_") || strings.Contains(s, "_live_") || strings.Contains(s, "_secret_") ||
		strings.Contains(s, "whsec_") || strings.Contains(s, "tok_1")) {
		s = keyMaterial.ReplaceAllString(s, mask)
	}
	if url {
		s = urlPassword.ReplaceAllString(s, "$1$2:"+mask+"@")
	}
	if named {
		s = headerSecret.ReplaceAllString(s, "${1}"+mask)
		s = namedSecret.ReplaceAllString(s, "${1}"+mask)
	}
	if digits >= cardMin {
		s = withoutCards(s)
	}
	return s
}

// hints looks at every byte once, to spare most strings the searches that cannot succeed.
func hints(s string) (digits int, underscore, named, url bool) {
	at := false
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == '_':
			underscore = true
		case c == ':' || c == '=':
			named = true
		case c == '@':
			at = true
		}
	}
	return digits, underscore, named, at && strings.Contains(s, "://")
}

// digitGroup is s[from:to], digits only.
type digitGroup struct{ from, to int }

// withoutCards masks each run of digit groups, separated by one space or dash, that is a card number.
func withoutCards(s string) string {
	var out strings.Builder
	done := 0
	for i := 0; i < len(s); {
		if !isDigit(s[i]) {
			i++
			continue
		}
		start, digits := i, 0
		if digits, i = digitRun(s, i); digits < cardMin {
			continue
		}
		run := groups(s, start, i)
		for from := 0; from < len(run); from++ {
			if to := cardEnd(s, run[from:]); to > 0 {
				out.WriteString(s[done:run[from].from])
				out.WriteString(mask)
				done = run[from+to-1].to
				from += to - 1
			}
		}
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// digitRun counts the digits of the run that starts at i, and says where it ends.
func digitRun(s string, i int) (digits, end int) {
	for ; i < len(s); i++ {
		switch {
		case isDigit(s[i]):
			digits++
		case (s[i] != ' ' && s[i] != '-') || i+1 == len(s) || !isDigit(s[i+1]):
			return digits, i
		}
	}
	return digits, i
}

// groups returns the groups of the run s[i:end].
func groups(s string, i, end int) []digitGroup {
	var run []digitGroup
	for from := i; i <= end; i++ {
		if i == end || !isDigit(s[i]) {
			run = append(run, digitGroup{from, i})
			from = i + 1
		}
	}
	return run
}

// cardEnd says how many of the first groups make a card number, 0 for none. The longest wins.
func cardEnd(s string, run []digitGroup) int {
	n, found := 0, 0
	var digits [cardMax]byte
	for i, g := range run {
		if n+g.to-g.from > cardMax {
			break
		}
		n += copy(digits[n:], s[g.from:g.to])
		if n >= cardMin && isCard(digits[:n]) {
			found = i + 1
		}
	}
	return found
}

// isCard is the check of Luhn. No issuer that a shop meets has numbers that begin with 0 or 1, but
// clocks do.
func isCard(digits []byte) bool {
	if digits[0] < '2' {
		return false
	}
	sum := 0
	for i, c := range digits {
		d := int(c - '0')
		if (len(digits)-i)%2 == 0 {
			d *= 2
			if d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// secretKey says whether an attribute of this name is never shown.
func secretKey(key string) bool {
	var buf [40]byte
	n := 0
	for i := 0; i < len(key) && n < len(buf); i++ {
		c := key[i]
		switch {
		case c == '_' || c == '-':
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		buf[n] = c
		n++
	}
	return secretName(string(buf[:n]))
}

func secretName(name string) bool {
	switch name {
	case "token", "passwd", "cookie", "setcookie", "authorization", "stripesignature":
		return true
	}
	for _, end := range [...]string{"password", "secret", "apikey", "masterkey", "secretkey", "accesstoken"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
