package acl

import "unicode/utf8"

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
