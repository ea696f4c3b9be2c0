package records

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"crema/server/base/fault"
	"crema/server/base/jsonfast"
	"crema/server/core/acl"
)

// Params are the parameters of a request of the wire by name, each valid JSON.
type Params = map[string]json.RawMessage

// DecodeParams reads the first JSON value of a body, which must be an object; no value at all counts as
// an empty one. The parameters share the memory of the body.
func DecodeParams(body []byte) (p Params, ok bool) {
	body = bytes.TrimSpace(body)
	p = make(Params, 8)
	switch {
	case len(body) == 0:
		return p, true
	case body[0] != '{':
		return nil, false
	case !jsonfast.Valid(body): // something may follow the object
		var first json.RawMessage
		if json.NewDecoder(bytes.NewReader(body)).Decode(&first) != nil {
			return nil, false
		}
		body = first
	}
	eachMember(body, func(key, value []byte) {
		p[paramName(key)] = slices.Clip(value)
	})
	return p, true
}

// paramName reads the name of a parameter. Those that most requests have cost no memory.
func paramName(key []byte) string {
	switch string(key) {
	case `"action"`:
		return "action"
	case `"api_key"`:
		return "api_key"
	case `"access_token"`:
		return "access_token"
	case `"database_id"`:
		return "database_id"
	case `"record_type"`:
		return "record_type"
	case `"records"`:
		return "records"
	}
	name, _ := text(string(key))
	return name
}

// Text returns a parameter that is a string; whatever is none counts as missing, which is "".
func Text(p Params, name string) string {
	raw := p[name]
	if len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	s, _ := text(string(raw))
	return s
}

// DecodeSave reads the parameters of record:save. Entries that cannot be read stay in their place with
// their error.
func DecodeSave(p Params) (SaveRequest, error) {
	raws, err := list(p, "records")
	if err != nil {
		return SaveRequest{}, err
	}
	if len(raws) == 0 {
		return SaveRequest{}, noRecords()
	}
	atomic, err := flag(p, "atomic")
	if err != nil {
		return SaveRequest{}, err
	}
	req := SaveRequest{Database: Text(p, "database_id"), Atomic: atomic, Items: make([]Item, len(raws))}
	expected := likelyFields
	for i, raw := range raws {
		req.Items[i] = decodeItem(raw, expected)
		if rec := req.Items[i].Record; rec != nil { // the next one probably has the same fields
			expected = len(rec.Fields)
		}
	}
	return req, nil
}

func noRecords() *fault.Error {
	return fault.Argument("records.none", "records", "records must be an array with at least one record")
}

// list returns the elements of an array parameter; nil when it is missing or null.
func list(p Params, name string) ([]string, error) {
	raw := string(bytes.TrimSpace(p[name]))
	switch {
	case raw == "" || raw[0] == 'n':
		return nil, nil
	case raw[0] != '[':
		return nil, fault.Argument("records.not_a_list", name, "%s must be an array", name)
	}
	elements := []string{}
	eachElement(raw, func(value string) { elements = append(elements, value) })
	return elements, nil
}

func isNull(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }

// flag reads a parameter that is true, false or absent. Anything else is refused: who asks for "atomic"
// in another word must not get a partial save.
func flag(p Params, name string) (bool, error) {
	switch string(bytes.TrimSpace(p[name])) {
	case "true":
		return true, nil
	case "", "false", "null":
		return false, nil
	}
	return false, fault.Argument("records.bad_flag", name, "%s must be true or false", name)
}

// DecodeIDs reads the parameters of record:fetch and record:delete.
func DecodeIDs(p Params) (IDsRequest, error) {
	raws, err := list(p, "ids")
	if err != nil {
		return IDsRequest{}, err
	}
	if len(raws) == 0 {
		return IDsRequest{}, fault.Argument("records.none", "ids", "ids must be an array with at least one id like \"note/1\"")
	}
	atomic, err := flag(p, "atomic")
	if err != nil {
		return IDsRequest{}, err
	}
	req := IDsRequest{Database: Text(p, "database_id"), Atomic: atomic, IDs: make([]string, len(raws))}
	for i, raw := range raws {
		id, ok := text(raw)
		if !ok {
			return IDsRequest{}, badIDs(i)
		}
		req.IDs[i] = id
	}
	return req, nil
}

func badIDs(i int) *fault.Error {
	return fault.Argument("records.bad_id", "ids", "entry %d of ids is not of the form \"type/key\"", i)
}

// DecodeQuery reads the parameters of record:query.
func DecodeQuery(p Params) (Query, error) {
	counted, err := flag(p, "count")
	if err != nil {
		return Query{}, err
	}
	q := Query{Database: Text(p, "database_id"), Count: counted}
	q.Type = Text(p, "record_type")
	if q.Type == "" {
		return q, fault.Argument("records.no_type", "record_type", "record_type must be the name of a record type")
	}
	if err := decodeFilter(p, &q); err != nil {
		return q, err
	}
	q.Limit, q.Offset, err = DecodePaging(p)
	return q, err
}

// DecodePaging reads limit, nil when missing, and offset. It fails with an Invalid error that names the
// parameter.
func DecodePaging(p Params) (limit *int, offset int, err error) {
	if limit, err = count(p, "limit"); err != nil {
		return nil, 0, err
	}
	from, err := count(p, "offset")
	if from != nil {
		offset = *from
	}
	return limit, offset, err
}

func decodeFilter(p Params, q *Query) error {
	where, err := tree(p, "predicate", "an array")
	if err != nil {
		return err
	}
	if a, ok := where.([]any); ok && len(a) > 0 { // an empty one selects all; py-skygear sends it
		q.Where = a
	} else if where != nil && !ok {
		return notA("predicate", "an array")
	}
	sort, err := tree(p, "sort", "an array")
	if err != nil {
		return err
	}
	if a, ok := sort.([]any); ok {
		q.Sort = a
	} else if sort != nil {
		return notA("sort", "an array")
	}
	include, err := tree(p, "include", "an object")
	if err != nil {
		return err
	}
	if m, ok := include.(map[string]any); ok {
		q.Include = m
	} else if include != nil {
		return notA("include", "an object")
	}
	return decodeDesired(p, q)
}

func decodeDesired(p Params, q *Query) error {
	keys, err := list(p, "desired_keys")
	if err != nil || keys == nil {
		return err
	}
	q.Desired = make([]string, len(keys))
	for i, raw := range keys {
		s, ok := text(raw)
		if !ok {
			return fault.Argument("records.not_a_list", "desired_keys", "desired_keys must be an array of field names")
		}
		q.Desired[i] = s
	}
	return nil
}

// tree decodes a parameter whose shape is checked later; numbers keep their text.
func tree(p Params, name, want string) (any, error) {
	raw := p[name]
	if len(raw) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, notA(name, want)
	}
	return v, nil
}

func notA(name, want string) *fault.Error {
	return fault.Argument("records.bad_query", name, "%s must be %s", name, want)
}

// count reads limit and offset: whole numbers from 0; nil when missing.
func count(p Params, name string) (*int, error) {
	raw := p[name]
	if isNull(raw) {
		return nil, nil
	}
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil || f < 0 || f > 1<<53 || f != float64(int(f)) {
		return nil, fault.Argument("records.bad_query", name, "%s must be a whole number from 0", name)
	}
	n := int(f)
	return &n, nil
}

// AppendPage appends the array of a page's records.
func AppendPage(b []byte, p Page) []byte {
	b = append(b, '[')
	for i, r := range p.Records {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendJSON(b, r)
	}
	return append(b, ']')
}

// AppendResult appends one entry of a save, fetch or delete: the record, {"_id","_type":"record"} after
// a delete, or {"_id","_type":"error","name","code","message","info"}; wire says what name and number
// an error has.
func AppendResult(b []byte, r Result, wire func(*fault.Error) (name string, code int)) []byte {
	switch {
	case r.Err != nil:
		return appendFailure(b, r, wire)
	case r.Record != nil:
		return AppendJSON(b, r.Record)
	}
	b = acl.AppendString(append(b, `{"_id":`...), r.ID)
	return append(b, `,"_type":"record"}`...)
}

func appendFailure(b []byte, r Result, wire func(*fault.Error) (string, int)) []byte {
	b = append(b, '{')
	if r.ID != "" {
		b = append(acl.AppendString(append(b, `"_id":`...), r.ID), ',')
	}
	name, code := wire(r.Err)
	b = acl.AppendString(append(b, `"_type":"error","name":`...), name)
	b = strconv.AppendInt(append(b, `,"code":`...), int64(code), 10)
	b = acl.AppendString(append(b, `,"message":`...), r.Err.Message)
	if len(r.Err.Details) > 0 {
		if info, err := json.Marshal(r.Err.Details); err == nil {
			b = append(append(b, `,"info":`...), info...)
		}
	}
	return append(b, '}')
}

// AppendJSON appends the wire form of r. Wire: skygear §3.1.
func AppendJSON(b []byte, r *Record) []byte {
	b = append(b, `{"_id":`...)
	b = acl.AppendString(b, r.Type)
	b[len(b)-1] = '/'
	start := len(b)
	b = acl.AppendString(b, r.Key)
	b = append(b[:start], b[start+1:]...) // the key's own opening quote
	b = r.Access.AppendJSON(append(b, `,"_type":"record","_access":`...))
	b = appendMeta(b, `,"_ownerID":`, r.Owner)
	b = appendMoment(b, `,"_created_at":`, r.CreatedAt)
	b = appendMeta(b, `,"_created_by":`, r.CreatedBy)
	b = appendMoment(b, `,"_updated_at":`, r.UpdatedAt)
	b = appendMeta(b, `,"_updated_by":`, r.UpdatedBy)
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Value != nil { // an empty column is absent
			b = append(acl.AppendString(append(b, ','), f.Name), ':')
			b = appendValue(b, f.Value)
		}
	}
	if len(r.Transient) > 0 {
		b = appendTransient(b, r.Transient)
	}
	return append(b, '}')
}

func appendMeta(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return acl.AppendString(append(b, key...), value)
}

func appendMoment(b []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendTime(append(b, key...), t)
}

// appendTime appends RFC 3339 in UTC without zeros at the end of the fraction. Wire: skygear §1.8.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendTransient(b []byte, fields []Field) []byte {
	b = append(b, `,"_transient":{`...)
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(acl.AppendString(b, f.Name), ':')
		b = appendValue(b, f.Value)
	}
	return append(b, '}')
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return acl.AppendString(b, v)
	case float64:
		return appendNumber(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case JSON:
		return append(b, v...)
	case *Record:
		return AppendJSON(b, v)
	}
	return appendTyped(b, v)
}

func appendTyped(b []byte, v any) []byte {
	switch v := v.(type) {
	case time.Time:
		b = appendTime(append(b, `{"$type":"date","$date":`...), v)
	case Reference:
		b = acl.AppendString(append(b, `{"$type":"ref","$id":`...), v.Type+"/"+v.Key)
	case Location:
		b = appendNumber(append(b, `{"$type":"geo","$lat":`...), v.Lat)
		b = appendNumber(append(b, `,"$lng":`...), v.Lng)
	case Geometry:
		b = append(append(b, `{"$type":"geojson","$val":`...), v...)
	case Asset:
		b = acl.AppendString(append(b, `{"$type":"asset","$name":`...), v.Name)
		b = appendMeta(b, `,"$content_type":`, v.ContentType)
		b = appendMeta(b, `,"$url":`, v.URL)
	case Sequence:
		b = append(b, `{"$type":"seq"`...)
	case Unknown:
		b = acl.AppendString(append(b, `{"$type":"unknown","$underlying_type":`...), v.Underlying)
	default:
		return append(b, "null"...)
	}
	return append(b, '}')
}

// appendNumber writes a double as JavaScript does. JSON has no NaN and no infinity.
func appendNumber(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	if a := math.Abs(f); a == 0 || a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'e', -1, 64)
}
