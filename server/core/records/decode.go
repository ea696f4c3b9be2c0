package records

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/jsonfast"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

// DecodeRecord reads one record in its wire form. It fails with an Invalid error that names the field.
func DecodeRecord(raw []byte) (*Record, error) {
	if !jsonfast.Valid(raw) {
		return nil, fault.Argument("records.bad_json", "records", "the record is not valid JSON")
	}
	item := decodeItem(strings.TrimSpace(string(raw)), likelyFields)
	if item.Err != nil {
		return nil, item.Err
	}
	return item.Record, nil
}

// DecodeFields reads the data fields of an object that is no record yet. Keys that are reserved are left
// out, as a save leaves them out. It fails like DecodeRecord.
func DecodeFields(raw []byte) ([]Field, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '{' || !jsonfast.Valid(raw) {
		return nil, fault.New(fault.BadRequest, "records.not_an_object", "the fields must be a JSON object")
	}
	d := recordDecoder{rec: &Record{}}
	eachMember(string(raw), func(key, value string) {
		if name, _ := text(key); name != "" && name[0] != '_' {
			d.member(key, value)
		}
	})
	return d.rec.Fields, d.err
}

// maxFields is what a table of PostgreSQL can hold beside the reserved columns.
const maxFields = 1592

// likelyFields is how many fields a record is prepared for when nothing is known of it.
const likelyFields = 8

// decodeItem reads valid JSON without space around it, of about as many fields as are expected. The
// texts of the record share the memory of raw.
func decodeItem(raw string, expected int) Item {
	if len(raw) == 0 || raw[0] != '{' {
		return Item{Err: fault.Argument("records.not_an_object", "records", "a record must be a JSON object")}
	}
	d := recordDecoder{rec: &Record{}, expected: expected}
	eachMember(raw, d.member)
	if err := d.rec.setID(d.id); err != nil {
		return Item{Err: err}
	}
	return Item{ID: d.id, Record: d.rec, Err: fault.From(d.err)}
}

// recordDecoder gathers the members of one record and the first error among them.
type recordDecoder struct {
	rec      *Record
	id       string
	err      error
	expected int // fields
}

func (d *recordDecoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *recordDecoder) member(key, value string) {
	name, _ := text(key)
	switch {
	case name == "_id":
		d.id, _ = text(value)
	case name == "_access":
		access, err := acl.Decode([]byte(value))
		d.rec.Access = access
		d.fail(err)
	case name == "" || name[0] == '_':
	case len(d.rec.Fields) == maxFields:
		d.fail(fault.Argument("records.too_many_fields", "records", "a record has at most %d fields", maxFields))
	default:
		v, err := decodeValue(name, value)
		d.fail(err)
		if d.rec.Fields == nil {
			d.rec.Fields = make([]Field, 0, d.expected)
		}
		d.rec.Set(name, v)
	}
}

// setID splits the id. The argument's name is the wire's. Wire: skygear A4.
func (r *Record) setID(id string) *fault.Error {
	typ, key, ok := SplitID(id)
	if !ok || strings.IndexByte(id, 0) >= 0 || !utf8.ValidString(id) {
		return fault.Argument("records.bad_id", "id", "_id must be of the form \"type/key\" with both parts given, without NUL characters")
	}
	r.Type, r.Key = typ, key
	return nil
}

// decodeValue reads the value of a data field.
func decodeValue(field, raw string) (any, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case 't', 'f':
		return raw[0] == 't', nil
	case '"':
		return decodeText(field, raw)
	case '[':
		return plainJSON(field, raw)
	case '{':
		if !strings.Contains(raw, `type"`) {
			return plainJSON(field, raw)
		}
		return decodeObject(field, raw)
	}
	return exactNumber(field, raw)
}

func decodeText(field, raw string) (any, error) {
	s, _ := text(raw)
	return s, checkText(field, s)
}

// text reads a string, which shares the memory of raw where it can.
func text(raw string) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; strings.IndexByte(inner, '\\') < 0 && utf8.ValidString(inner) {
		return inner, true
	}
	return unescape(raw)
}

// unescape is apart from text, where its variable would cost memory in every call.
func unescape(raw string) (s string, ok bool) {
	err := json.Unmarshal([]byte(raw), &s)
	return s, err == nil
}

// checkText refuses what a text column cannot hold.
func checkText(field, s string) error {
	for i := range len(s) {
		if s[i] == 0 {
			return badValue(field, "contains a NUL character, which cannot be stored")
		}
	}
	if !utf8.ValidString(s) {
		return badValue(field, "is not valid UTF-8")
	}
	return nil
}

func badValue(field, problem string) *fault.Error {
	return fault.Argument("records.bad_value", field, "the value of %q %s", field, problem)
}

// plainJSON keeps an array or object as it was sent.
func plainJSON(field, raw string) (any, error) {
	if hasNUL(raw) {
		return nil, badValue(field, "contains a NUL character, which cannot be stored")
	}
	if !utf8.ValidString(raw) {
		return nil, badValue(field, "is not valid UTF-8")
	}
	return JSON(raw), nil
}

// hasNUL looks for the escape of NUL in valid JSON.
func hasNUL(raw string) bool {
	for rest := raw; ; {
		i := strings.Index(rest, `\u0000`)
		if i < 0 {
			return false
		}
		start := i
		for start > 0 && rest[start-1] == '\\' {
			start--
		}
		if (i-start)%2 == 0 {
			return true
		}
		rest = rest[i+1:]
	}
}

func decodeObject(field, raw string) (any, error) {
	var m members
	eachMember(raw, func(key, value string) { m = append(m, member{key, value}) })
	if m.raw("$type") == "" {
		return plainJSON(field, raw)
	}
	if hasNUL(raw) {
		return nil, badValue(field, "contains a NUL character, which cannot be stored")
	}
	v, err := typedValue(field, m)
	if k, ok := v.(keyPath); ok {
		return string(k), err // as data a key path is its text
	}
	return v, err
}

// object is a JSON object that may be a typed value.
type object interface {
	text(key string) string            // "" when it is no string
	number(key string) (float64, bool) // ok when it is a number
	object(key string) (string, bool)  // its JSON, ok when it is an object
}

// members is an object as text.
type members []member

type member struct{ key, value string }

// raw returns the last value of a key, as encoding/json would.
func (m members) raw(key string) string {
	for i := len(m) - 1; i >= 0; i-- {
		if inner := m[i].key[1 : len(m[i].key)-1]; inner == key {
			return m[i].value
		}
	}
	return ""
}

func (m members) text(key string) string {
	s, _ := text(m.raw(key))
	return s
}

func (m members) number(key string) (float64, bool) {
	f, err := strconv.ParseFloat(m.raw(key), 64)
	return f, err == nil
}

func (m members) object(key string) (string, bool) {
	raw := m.raw(key)
	return raw, len(raw) > 0 && raw[0] == '{'
}

// decoded is an object as encoding/json gives it.
type decoded map[string]any

func (m decoded) text(key string) string {
	s, _ := m[key].(string)
	return s
}

func (m decoded) number(key string) (float64, bool) {
	switch v := m[key].(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

func (m decoded) object(key string) (string, bool) {
	v, ok := m[key].(map[string]any)
	if !ok {
		return "", false
	}
	raw, err := json.Marshal(v)
	return string(raw), err == nil
}

// jsonText is JSON that was checked already.
type jsonText interface{ []byte | string }

// eachMember calls fn for every member of an object in valid JSON; the key comes in its quotes and the
// value without space around.
func eachMember[T jsonText](raw T, fn func(key, value T)) {
	i := skipSpace(raw, 1)
	for raw[i] != '}' {
		end := valueEnd(raw, i)
		key := raw[i:end]
		i = skipSpace(raw, end) // the colon
		i = skipSpace(raw, i+1) // the value
		end = valueEnd(raw, i)
		fn(key, raw[i:end])
		if i = skipSpace(raw, end); raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
	}
}

// eachElement calls fn for every element of an array in valid JSON.
func eachElement[T jsonText](raw T, fn func(value T)) {
	i := skipSpace(raw, 1)
	for raw[i] != ']' {
		end := valueEnd(raw, i)
		fn(raw[i:end])
		if i = skipSpace(raw, end); raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
	}
}

func skipSpace[T jsonText](raw T, i int) int {
	for raw[i] == ' ' || raw[i] == '\n' || raw[i] == '\t' || raw[i] == '\r' {
		i++
	}
	return i
}

// valueEnd returns where the value that starts at i ends.
func valueEnd[T jsonText](raw T, i int) int {
	depth := 0
	for ; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = stringEnd(raw, i)
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // behind a number or a word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// stringEnd returns the index of the closing quote.
func stringEnd[T jsonText](raw T, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i
}

// keyPath names a field inside a predicate.
type keyPath string

// typedValue reads an object that carries $type. Wire: skygear §3.2.
func typedValue(field string, o object) (any, error) {
	switch o.text("$type") {
	case "date":
		return dateValue(field, o)
	case "geo":
		lat, ok1 := o.number("$lat")
		lng, ok2 := o.number("$lng")
		if !ok1 || !ok2 {
			return nil, badValue(field, "is a geo whose $lat and $lng are not both numbers")
		}
		return Location{Lat: lat, Lng: lng}, nil
	case "geojson":
		val, ok := o.object("$val")
		if !ok {
			return nil, badValue(field, "is a geojson whose $val is not an object")
		}
		return Geometry(val), nil
	case "ref":
		typ, key, ok := SplitID(o.text("$id"))
		if !ok {
			return nil, badValue(field, "is a ref whose $id is not of the form \"type/key\"")
		}
		return Reference{typ, key}, nil
	case "asset":
		name := o.text("$name")
		if name == "" {
			return nil, badValue(field, "is an asset without a $name")
		}
		return Asset{Name: name}, nil
	case "seq":
		return Sequence{}, nil
	case "unknown":
		return Unknown{o.text("$underlying_type")}, nil
	case "keypath":
		return keyPath(o.text("$val")), nil
	}
	return nil, badValue(field, "has a $type that is not known; known are date, geo, geojson, ref, asset, seq, unknown and keypath")
}

func dateValue(field string, o object) (any, error) {
	t, err := time.Parse(time.RFC3339Nano, o.text("$date"))
	if err != nil {
		return nil, badValue(field, "is a date whose $date is not RFC 3339, like 2024-05-01T10:00:00Z")
	}
	return t.UTC(), nil
}

// exactNumber reads a number as a double. One beyond 2^53 must survive it: either it is that double
// exactly, or it has the digits that every double of this size is written with.
func exactNumber(field, text string) (any, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, badValue(field, "is a number outside the range of a double")
	}
	if math.Abs(f) < 1<<53 || survives(text, f) {
		return f, nil
	}
	return nil, badValue(field, "is a number beyond 2^53 that a double cannot hold exactly; send it as a string")
}

func survives(text string, f float64) bool {
	sent, ok := new(big.Rat).SetString(text)
	if !ok {
		return false
	}
	if sent.Cmp(new(big.Rat).SetFloat64(f)) == 0 {
		return true
	}
	shortest, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && sent.Cmp(shortest) == 0
}

// typeOf returns the type of field that a value needs; ok is false for nil and for what is never
// stored. Wire: skygear §3.3.
func typeOf(v any) (t schema.FieldType, ok bool) {
	switch v := v.(type) {
	case string:
		t.Kind = schema.String
	case float64, int64:
		t.Kind = schema.Number
	case bool:
		t.Kind = schema.Boolean
	case time.Time:
		t.Kind = schema.Datetime
	case JSON:
		t.Kind = schema.JSON
	case Location:
		t.Kind = schema.Location
	case Geometry:
		t.Kind = schema.Geometry
	case Asset:
		t.Kind = schema.Asset
	case Sequence:
		t.Kind = schema.Sequence
	case Reference:
		t.Kind, t.Target = schema.Ref, v.Type
	}
	return t, t.Kind != ""
}
