package functions

import (
	"encoding/json"
	"maps"
	"strings"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/jsonfast"
)

const (
	// maxDepth bounds how deep arrays and objects may nest in arguments.
	maxDepth = 100
	// maxInteger is the largest whole number that every JSON client can hold: 2^53.
	maxInteger = 1 << 53
)

// check reads args once, without reflection, and says what is wrong with them: no JSON, no object,
// fields that sh does not have, fields missing or sent twice, texts that PostgreSQL cannot store, and
// numbers that clients in JavaScript would have changed on the way. Types are encoding/json's task.
func check(args []byte, sh *shape) error {
	var room [4]step
	c := checker{text: args, path: room[:0]}
	c.space()
	if !utf8.Valid(args) {
		return fault.New(fault.BadRequest, "functions.bad_json", "the arguments are not valid UTF-8")
	}
	first := c.peek()
	if err := c.value(sh); err != nil {
		return err
	}
	if first != '{' {
		return fault.New(fault.Invalid, "functions.args_not_object", "the arguments must be one JSON object such as {\"name\": \"value\"}, not %s", jsonKind(first))
	}
	if c.space(); c.at < len(args) {
		return c.syntax("only one JSON object is expected")
	}
	return nil
}

// checkAny refuses arguments that are no JSON. Their types are the function's own task.
func checkAny(args json.RawMessage) error {
	if !jsonfast.Valid(args) {
		return fault.New(fault.BadRequest, "functions.bad_json", "the arguments are not valid JSON")
	}
	return nil
}

func isBlank(text []byte) bool {
	for _, b := range text {
		if b != ' ' && b != '\t' && b != '\n' && b != '\r' {
			return false
		}
	}
	return true
}

func jsonKind(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// members keeps track of the names seen in one object.
type members struct {
	shape *shape
	seen  bits
	given bits // not as null
}

// bits is a set of field numbers. Most structs have few fields, which need no allocation.
type bits struct {
	low  uint64
	high map[int]bool
}

func (b *bits) has(i int) bool {
	if i < 64 {
		return b.low&(1<<i) != 0
	}
	return b.high[i]
}

func (b *bits) add(i int) {
	if i < 64 {
		b.low |= 1 << i
		return
	}
	if b.high == nil {
		b.high = map[int]bool{}
	}
	b.high[i] = true
}

// see notes one more name and returns the shape of its value.
func (m *members) see(c *checker, name []byte, isNull bool) (*shape, error) {
	if m.shape == nil {
		return nil, nil
	}
	if m.shape.index == nil {
		return m.shape.dict, nil
	}
	i, ok := m.shape.index[string(name)]
	if !ok {
		return nil, m.unknown(c, string(name))
	}
	if m.seen.has(i) {
		return nil, c.refuse("duplicate_argument", "%s is sent twice", c.name())
	}
	m.seen.add(i)
	if !isNull {
		m.given.add(i)
	}
	return m.shape.fields[i].of, nil
}

func (m *members) unknown(c *checker, name string) error {
	hint := "; no argument is taken here"
	if len(m.shape.fields) > 0 {
		hint = "; known are " + m.shape.names()
	}
	if near := nearest(name, maps.Keys(m.shape.index)); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return c.refuse("unknown_argument", "%s is not an argument%s", c.name(), hint)
}

func (sh *shape) names() string {
	names := make([]string, len(sh.fields))
	for i, f := range sh.fields {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// complete refuses an object that lacks required fields; a null counts as lacking.
func (m *members) complete(c *checker) error {
	if m.shape == nil || m.shape.index == nil {
		return nil
	}
	var missing []string
	for i, f := range m.shape.fields {
		if f.required && !m.given.has(i) {
			missing = append(missing, c.below(f.name))
		}
	}
	if missing == nil {
		return nil
	}
	return fault.New(fault.Invalid, "functions.missing_argument", "missing: %s", strings.Join(missing, ", ")).
		With("arguments", missing)
}
