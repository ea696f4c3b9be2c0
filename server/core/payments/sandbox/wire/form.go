package wire

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The bounds of a form: far above what clients send, low enough to cost nothing.
const (
	maxPairs = 2000
	maxDepth = 8
)

// Value is one decoded parameter: a text, or a group when Kids is not nil. Lists are groups with the
// names "0", "1", and so on, whichever way the client wrote them.
type Value struct {
	Text string
	Kids map[string]*Value
}

// Decode reads a query or an application/x-www-form-urlencoded body. It takes every way of writing that
// Stripe's libraries use: a[b]=, a[0]=, a[]=, a[0][b]=, a[][b]=, brackets escaped or not. Fails with a
// 400 *Error.
func Decode(raw string) (map[string]*Value, error) {
	root := &Value{Kids: map[string]*Value{}}
	pairs := 0
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if pairs++; pairs > maxPairs {
			return nil, Invalid("", "There are too many parameters; at most %d are read.", maxPairs)
		}
		if err := root.add(pair); err != nil {
			return nil, err
		}
	}
	return root.Kids, nil
}

// Canonical returns the same bytes for forms that mean the same.
func Canonical(form map[string]*Value) []byte {
	b, err := json.Marshal((&Value{Kids: form}).plain())
	if err != nil { // cannot be: texts and groups only
		return nil
	}
	return b
}

func (v *Value) plain() any {
	if v.Kids == nil {
		return v.Text
	}
	m := make(map[string]any, len(v.Kids))
	for k, kid := range v.Kids {
		m[k] = kid.plain()
	}
	return m
}

func (v *Value) add(pair string) error {
	rawName, rawText, _ := strings.Cut(pair, "=")
	name, err := unescape(rawName)
	if err != nil {
		return err
	}
	text, err := unescape(rawText)
	if err != nil {
		return err
	}
	path, err := split(name)
	if err != nil {
		return err
	}
	return v.put(name, path, text)
}

func unescape(s string) (string, error) {
	t, err := url.QueryUnescape(s)
	if err != nil || !utf8.ValidString(t) || strings.ContainsRune(t, 0) {
		return "", Invalid("", "A parameter cannot be read: it must be percent-encoded UTF-8 without NUL.")
	}
	return t, nil
}

// split turns a[b][] into "a", "b", "".
func split(name string) ([]string, error) {
	base, rest, _ := strings.Cut(name, "[")
	if base == "" || strings.Contains(base, "]") {
		return nil, Invalid("", "The name of a parameter is malformed: write name, name[key] or name[].")
	}
	path := []string{base}
	if len(base) == len(name) {
		return path, nil
	}
	inner, ok := strings.CutSuffix(rest, "]")
	if !ok {
		return nil, Invalid(base, "The name of parameter %s is malformed: a bracket is not closed.", base)
	}
	for part := range strings.SplitSeq(inner, "][") {
		if strings.ContainsAny(part, "[]") || len(path) == maxDepth {
			return nil, Invalid(base, "The name of parameter %s is malformed or nested too deep.", base)
		}
		path = append(path, part)
	}
	return path, nil
}

func (v *Value) put(name string, path []string, text string) error {
	for i, part := range path {
		last := i == len(path)-1
		if part == "" {
			part = v.next(path[i+1:])
		}
		kid := v.Kids[part]
		if kid == nil {
			kid = &Value{}
			if !last {
				kid.Kids = map[string]*Value{}
			}
			v.Kids[part] = kid
		}
		if last == (kid.Kids != nil) {
			return Invalid(path[0], "Parameter %s is given both as a value and as a group.", path[0])
		}
		v = kid
	}
	v.Text = text
	return nil
}

// next says which element a[] means: a new one, except that a[][b]=1&a[][c][d]=2 fills one element, until
// a name comes again.
func (v *Value) next(rest []string) string {
	n := len(v.Kids)
	if n == 0 || len(rest) == 0 {
		return strconv.Itoa(n)
	}
	open := v.Kids[strconv.Itoa(n-1)]
	if open == nil || open.Kids == nil {
		return strconv.Itoa(n)
	}
	for _, part := range rest {
		if open = open.Kids[part]; open == nil {
			return strconv.Itoa(n - 1)
		}
	}
	return strconv.Itoa(n)
}
