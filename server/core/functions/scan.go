package functions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"crema/server/base/fault"
)

// checker walks over a text. path leads to the value it stands at.
type checker struct {
	text []byte
	at   int
	path []step
}

// step is a member's name or, when that is nil, a position in an array.
type step struct {
	name  []byte
	index int
}

// peek returns the next byte, 0 at the end.
func (c *checker) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *checker) space() {
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

func (c *checker) value(sh *shape) error {
	switch b := c.peek(); {
	case b == '{':
		return c.object(sh)
	case b == '[':
		return c.array(sh)
	case b == '"':
		_, err := c.str()
		return err
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(c.text[c.at:], []byte(word)) {
			c.at += len(word)
			return nil
		}
	}
	return c.syntax("a value is expected")
}

func (c *checker) enter(s step) error {
	if len(c.path) == maxDepth {
		c.path = c.path[:1] // the place itself says nothing
		return c.refuse("too_deep", "%s nests deeper than %d levels", c.name(), maxDepth)
	}
	c.path = append(c.path, s)
	return nil
}

func (c *checker) leave() { c.path = c.path[:len(c.path)-1] }

func (c *checker) array(sh *shape) error {
	var elem *shape
	if sh != nil {
		elem = sh.list
	}
	c.at++
	if c.space(); c.peek() == ']' {
		c.at++
		return nil
	}
	for i := 0; ; i++ {
		if err := c.enter(step{index: i}); err != nil {
			return err
		}
		c.space()
		if err := c.value(elem); err != nil {
			return err
		}
		c.leave()
		if more, err := c.more(']'); !more {
			return err
		}
	}
}

// more reads what follows a value: a comma, or the end of the array or object.
func (c *checker) more(end byte) (bool, error) {
	c.space()
	switch c.peek() {
	case ',':
		c.at++
		return true, nil
	case end:
		c.at++
		return false, nil
	}
	return false, c.syntax(fmt.Sprintf("%q or %q is expected", ",", end))
}

func (c *checker) object(sh *shape) error {
	m := members{shape: sh}
	c.at++
	if c.space(); c.peek() == '}' {
		c.at++
		return m.complete(c)
	}
	for {
		c.space()
		if err := c.member(&m); err != nil {
			return err
		}
		if more, err := c.more('}'); err != nil {
			return err
		} else if !more {
			return m.complete(c)
		}
	}
}

func (c *checker) member(m *members) error {
	if c.peek() != '"' {
		return c.syntax("a name in quotes is expected")
	}
	name, err := c.str()
	if err != nil {
		return err
	}
	if err := c.enter(step{name: name}); err != nil {
		return err
	}
	if c.space(); c.peek() != ':' {
		return c.syntax("\":\" is expected")
	}
	c.at++
	c.space()
	of, err := m.see(c, name, c.peek() == 'n')
	if err == nil {
		err = c.value(of)
	}
	if err == nil {
		c.leave()
	}
	return err
}

// str reads a string and returns what it means.
func (c *checker) str() ([]byte, error) {
	start := c.at
	escaped := false
	for c.at++; c.at < len(c.text); c.at++ {
		switch b := c.text[c.at]; {
		case b == '"':
			c.at++
			if !escaped {
				return c.text[start+1 : c.at-1], nil
			}
			return c.unescape(start)
		case b == '\\':
			escaped = true
			c.at++
		case b < ' ':
			return nil, c.syntax("a control character in a string must be escaped")
		}
	}
	return nil, c.syntax("a string is not closed")
}

func (c *checker) unescape(start int) ([]byte, error) {
	var s string
	if err := json.Unmarshal(c.text[start:c.at], &s); err != nil {
		c.at = start
		return nil, c.syntax("a string has a bad escape")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, c.refuse("nul_character", "%s holds the character U+0000, which cannot be stored", c.name())
	}
	return []byte(s), nil
}

func (c *checker) number() error {
	start := c.at
	if c.peek() == '-' {
		c.at++
	}
	whole := c.digits()
	if whole == 0 || whole > 1 && c.text[c.at-whole] == '0' {
		c.at = start
		return c.syntax("a number is malformed")
	}
	end := c.at
	if c.peek() == '.' {
		c.at++
		if c.digits() == 0 {
			return c.syntax("a digit is expected")
		}
	}
	if b := c.peek(); b == 'e' || b == 'E' {
		c.at++
		if b = c.peek(); b == '+' || b == '-' {
			c.at++
		}
		if c.digits() == 0 {
			return c.syntax("a digit is expected")
		}
	}
	if c.at == end && whole > 15 {
		return c.large(c.text[end-whole : end])
	}
	return nil
}

func (c *checker) digits() int {
	start := c.at
	for '0' <= c.peek() && c.peek() <= '9' {
		c.at++
	}
	return c.at - start
}

func (c *checker) large(digits []byte) error {
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || n > maxInteger {
		return c.refuse("number_too_large", "%s is a whole number beyond 2^53 (%d), which JSON clients cannot hold exactly; send it as a string", c.name(), maxInteger)
	}
	return nil
}

// refuse makes a fault about the argument that the checker stands at.
func (c *checker) refuse(reason, format string, args ...any) error {
	return fault.Argument("functions."+reason, c.name(), format, args...)
}

// syntax makes a fault about the place in the text that the checker stands at.
func (c *checker) syntax(what string) error {
	before := c.text[:min(c.at, len(c.text))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	if c.at >= len(c.text) {
		what += ", but the text ends"
	}
	return fault.New(fault.BadRequest, "functions.bad_json", "the arguments are not valid JSON: line %d, column %d: %s", line, column, what)
}

// maxPath bounds the length of a path in messages, in bytes.
const maxPath = 100

// name returns the path to where the checker stands: items[2].price.
func (c *checker) name() string {
	if len(c.path) == 0 {
		return "arguments"
	}
	var b []byte
	for _, s := range c.path {
		switch {
		case s.name == nil:
			b = fmt.Appendf(b, "[%d]", s.index)
		case len(b) > 0:
			b = append(append(b, '.'), s.name...)
		default:
			b = append(b, s.name...)
		}
		if len(b) > maxPath {
			return strings.ToValidUTF8(string(b[:maxPath]), "") + "..."
		}
	}
	return string(b)
}

func (c *checker) below(name string) string {
	if len(c.path) == 0 {
		return name
	}
	return c.name() + "." + name
}
