package acl

import (
	"bytes"
	"unicode/utf8"
)

// AppendJSON appends the list in its JSON form; the nil list is null.
func (a Access) AppendJSON(b []byte) []byte {
	if a == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, e := range a {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.appendJSON(b)
	}
	return append(b, ']')
}

// MarshalJSON implements json.Marshaler.
func (a Access) MarshalJSON() ([]byte, error) { return a.AppendJSON(nil), nil }

func (e Entry) appendJSON(b []byte) []byte {
	b = AppendString(append(b, `{"level":`...), string(e.Level))
	if e.Public {
		b = append(b, `,"public":true`...)
	}
	for _, f := range [...]struct{ key, value string }{
		{`,"role":`, e.Role}, {`,"user_id":`, e.UserID}, {`,"relation":`, e.Relation},
	} {
		if f.value != "" {
			b = AppendString(append(b, f.key...), f.value)
		}
	}
	return append(b, '}')
}

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 || r == '\u2028' || r == '\u2029' {
				b = append(b, s[start:i]...)
				b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
				start = i + n
			}
			i += n
			continue
		}
		if plain(c) {
			i++
			continue
		}
		b = appendEscape(append(b, s[start:i]...), c)
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// plain says whether an ASCII character stands for itself. <, > and & do not: the text may end up
// inside a page.
func plain(c byte) bool {
	return c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\t':
		return append(b, '\\', 't')
	case '\r':
		return append(b, '\\', 'r')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// scanner reads lists as they are nearly always written: an array of objects whose keys and texts have
// no escapes and whose values are texts and booleans. Anything else makes it give up.
type scanner struct {
	rest []byte
	ok   bool
}

// scan returns the entries of raw; ok is false when raw must be read with care.
func scan(raw []byte) (access Access, ok bool) {
	s := scanner{rest: raw, ok: true}
	s.expect('[')
	access = Access{}
	for s.ok && !s.accept(']') {
		if len(access) > 0 {
			s.expect(',')
		}
		access = append(access, s.entry())
	}
	return access, s.ok && len(s.space()) == 0
}

func (s *scanner) entry() Entry {
	var e Entry
	s.expect('{')
	for first := true; s.ok && !s.accept('}'); first = false {
		if !first {
			s.expect(',')
		}
		key := s.text()
		s.expect(':')
		s.member(&e, key)
	}
	return e
}

func (s *scanner) member(e *Entry, key []byte) {
	var field *string
	switch string(key) {
	case "public":
		e.Public = s.boolean()
		return
	case "level":
		switch level := s.text(); Level(level) {
		case Read:
			e.Level = Read
		case Write:
			e.Level = Write
		default:
			s.ok = false
		}
		return
	case "role":
		field = &e.Role
	case "user_id":
		field = &e.UserID
	case "relation":
		field = &e.Relation
	default:
		s.ok = false
		return
	}
	*field = string(s.text())
	s.ok = s.ok && *field != ""
}

func (s *scanner) space() []byte {
	s.rest = bytes.TrimLeft(s.rest, " \t\r\n")
	return s.rest
}

func (s *scanner) accept(c byte) bool {
	if rest := s.space(); len(rest) > 0 && rest[0] == c {
		s.rest = rest[1:]
		return true
	}
	return false
}

func (s *scanner) expect(c byte) {
	if !s.accept(c) {
		s.ok = false
	}
}

func (s *scanner) text() []byte {
	s.expect('"')
	n := bytes.IndexByte(s.rest, '"')
	if !s.ok || n < 0 || bytes.IndexByte(s.rest[:n], '\\') >= 0 || !utf8.Valid(s.rest[:n]) {
		s.ok = false
		return nil
	}
	text := s.rest[:n]
	s.rest = s.rest[n+1:]
	return text
}

func (s *scanner) boolean() bool {
	rest := s.space()
	for _, word := range [...]string{"true", "false"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			s.rest = rest[len(word):]
			return word == "true"
		}
	}
	s.ok = false
	return false
}
