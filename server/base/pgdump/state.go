package pgdump

import (
	"regexp"
	"strings"
)

// state is what a line begins in. The zero state is between statements. A backslash has no meaning in the
// texts of pg_dump, which doubles quotes.
type state struct {
	open    bool   // inside a statement
	quote   byte   // ' or ": inside a text or a name
	dollar  string // $tag$: inside a text that ends with it
	comment int    // how deep inside /* */
}

var dollarTag = regexp.MustCompile(`^\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$`)

// read goes through a line.
func (s *state) read(line string) {
	for i := 0; i < len(line); {
		i += s.step(line, i)
	}
}

// step reads what stands at i and returns how long it is.
func (s *state) step(line string, i int) int {
	rest := line[i:]
	switch {
	case s.quote != 0:
		return s.until(rest, string(s.quote), func() { s.quote = 0 })
	case s.dollar != "":
		return s.until(rest, s.dollar, func() { s.dollar = "" })
	case strings.HasPrefix(rest, "/*"):
		s.comment++
		return 2
	case s.comment > 0:
		if strings.HasPrefix(rest, "*/") {
			s.comment--
			return 2
		}
		return 1
	case strings.HasPrefix(rest, "--"):
		return len(rest)
	}
	return s.token(line, i)
}

// until passes over a text up to its end, if that is in this line.
func (s *state) until(rest, end string, ended func()) int {
	n := strings.Index(rest, end)
	if n < 0 {
		return len(rest)
	}
	ended()
	return n + len(end)
}

func (s *state) token(line string, i int) int {
	c := line[i]
	switch {
	case c == ';':
		s.open = false
		return 1
	case c == ' ' || c == '\t' || c == '\r':
		return 1
	}
	s.open = true
	switch {
	case c == '\'' || c == '"':
		s.quote = c
	case c == '$' && (i == 0 || !inName(line[i-1])):
		if tag := dollarTag.FindString(line[i:]); tag != "" {
			s.dollar = tag
			return len(tag)
		}
	}
	return 1
}

func inName(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
