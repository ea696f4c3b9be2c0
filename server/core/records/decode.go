package records

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

// DecodeRecord reads one record in its wire form. It fails with an Invalid error that names the field.
func DecodeRecord(raw []byte) (*Record, error) {
	if !json.Valid(raw) {
		return nil, fault.Argument("records.bad_json", "records", "the record is not valid JSON")
	}
	item := decodeItem(bytes.TrimSpace(raw))
	if item.Err != nil {
		return nil, item.Err
	}
	return item.Record, nil
}

// maxFields is what a table of PostgreSQL can hold beside the reserved columns.
const maxFields = 1592

// decodeItem reads valid JSON without space around it.
func decodeItem(raw []byte) Item {
	if len(raw) == 0 || raw[0] != '{' {
		return Item{Err: fault.Argument("records.not_an_object", "records", "a record must be a JSON object")}
	}
	r := &Record{}
	var failure error
	keep := func(err error) {
		if failure == nil {
			failure = err
		}
	}
	id := ""
	eachMember(raw, func(key string, value []byte) {
		switch {
		case key == "_id":
			id, _ = text(value)
		case key == "_access":
			access, err := acl.Decode(value)
			r.Access = access
			keep(err)
		case key == "" || key[0] == '_':
		case len(r.Fields) == maxFields:
			keep(fault.Argument("records.too_many_fields", "records", "a record has at most %d fields", maxFields))
		default:
			v, err := decodeValue(key, value)
			keep(err)
			r.Set(key, v)
		}
	})
	if err := r.setID(id); err != nil {
		return Item{Err: err}
	}
	return Item{ID: id, Record: r, Err: fault.From(failure)}
}

// setID splits the id. The argument's name is the wire's. Wire: skygear A4.
func (r *Record) setID(id string) *fault.Error {
	typ, key, ok := SplitID(id)
	if !ok || bytes.IndexByte([]byte(id), 0) >= 0 || !utf8.ValidString(id) {
		return fault.Argument("records.bad_id", "id", "_id must be of the form \"type/key\" with both parts given, without NUL characters")
	}
	r.Type, r.Key = typ, key
	return nil
}

// decodeValue reads the value of a data field.
func decodeValue(field string, raw []byte) (any, error) {
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
		if !bytes.Contains(raw, []byte(`type"`)) {
			return plainJSON(field, raw)
		}
		return decodeObject(field, raw)
	}
	return exactNumber(field, string(raw))
}

func decodeText(field string, raw []byte) (any, error) {
	s, _ := text(raw)
	return s, checkText(field, s)
}

func text(raw []byte) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), true
	}
	err := json.Unmarshal(raw, &s)
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
func plainJSON(field string, raw []byte) (any, error) {
	if hasNUL(raw) {
		return nil, badValue(field, "contains a NUL character, which cannot be stored")
	}
	if !utf8.Valid(raw) {
		return nil, badValue(field, "is not valid UTF-8")
	}
	return JSON(raw), nil
}

// hasNUL looks for the escape of NUL in valid JSON.
func hasNUL(raw []byte) bool {
	for rest := raw; ; {
		i := bytes.Index(rest, []byte(`\u0000`))
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

func decodeObject(field string, raw []byte) (any, error) {
	m := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, badValue(field, "is not a JSON object")
	}
	if _, ok := m["$type"]; !ok {
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

// eachMember calls fn for every member of an object in valid JSON; values come without space around.
func eachMember(raw []byte, fn func(key string, value []byte)) {
	i := skipSpace(raw, 1)
	for raw[i] != '}' {
		end := valueEnd(raw, i)
		key, _ := text(raw[i:end])
		i = skipSpace(raw, end) // the colon
		i = skipSpace(raw, i+1) // the value
		end = valueEnd(raw, i)
		fn(key, raw[i:end:end])
		if i = skipSpace(raw, end); raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
	}
}

func skipSpace(raw []byte, i int) int {
	for raw[i] == ' ' || raw[i] == '\n' || raw[i] == '\t' || raw[i] == '\r' {
		i++
	}
	return i
}

// valueEnd returns where the value that starts at i ends.
func valueEnd(raw []byte, i int) int {
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
func stringEnd(raw []byte, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i
}

// keyPath names a field inside a predicate.
type keyPath string

// typedValue reads a decoded object that carries $type. Numbers in it are json.Number or float64.
// Wire: skygear §3.2.
func typedValue(field string, m map[string]any) (any, error) {
	kind, _ := m["$type"].(string)
	switch kind {
	case "date":
		return dateValue(field, m)
	case "geo":
		return geoValue(field, m)
	case "geojson":
		return geometryValue(field, m)
	case "ref":
		id, _ := m["$id"].(string)
		typ, key, ok := SplitID(id)
		if !ok {
			return nil, badValue(field, "is a ref whose $id is not of the form \"type/key\"")
		}
		return Reference{typ, key}, nil
	case "asset":
		name, _ := m["$name"].(string)
		if name == "" {
			return nil, badValue(field, "is an asset without a $name")
		}
		return Asset{Name: name}, nil
	case "seq":
		return Sequence{}, nil
	case "unknown":
		name, _ := m["$underlying_type"].(string)
		return Unknown{name}, nil
	case "keypath":
		path, _ := m["$val"].(string)
		return keyPath(path), nil
	}
	return nil, badValue(field, "has a $type that is not known; known are date, geo, geojson, ref, asset, seq, unknown and keypath")
}

func dateValue(field string, m map[string]any) (any, error) {
	s, _ := m["$date"].(string)
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return nil, badValue(field, "is a date whose $date is not RFC 3339, like 2024-05-01T10:00:00Z")
	}
	return t.UTC(), nil
}

func geoValue(field string, m map[string]any) (any, error) {
	lat, ok1 := double(m["$lat"])
	lng, ok2 := double(m["$lng"])
	if !ok1 || !ok2 {
		return nil, badValue(field, "is a geo whose $lat and $lng are not both numbers")
	}
	return Location{Lat: lat, Lng: lng}, nil
}

func double(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

func geometryValue(field string, m map[string]any) (any, error) {
	val, ok := m["$val"].(map[string]any)
	if !ok {
		return nil, badValue(field, "is a geojson whose $val is not an object")
	}
	text, err := json.Marshal(val)
	if err != nil {
		return nil, badValue(field, "is a geojson that is not understood")
	}
	return Geometry(text), nil
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
