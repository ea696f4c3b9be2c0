package records

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

// met remembers which records this server has lately saved or handed out: those are there, most likely,
// while a record that it has never met is most likely new. It only chooses the quicker statement; a wrong
// guess costs a second one. It is one table of hashes and forgets by being overwritten.
type met struct {
	seed  maphash.Seed
	slots [1 << 15]atomic.Uint64
}

func newMet() *met { return &met{seed: maphash.MakeSeed()} }

func (m *met) hash(kind, key string) uint64 {
	return maphash.String(m.seed, kind) ^ maphash.String(m.seed, key)
}

func (m *met) add(rec *Record) {
	h := m.hash(rec.Type, rec.Key)
	m.slots[h%uint64(len(m.slots))].Store(h)
}

func (m *met) has(kind, key string) bool {
	h := m.hash(kind, key)
	return m.slots[h%uint64(len(m.slots))].Load() == h
}

// reader turns rows that were read with selectList into records.
type reader struct {
	table  *table
	values []any // meta columns, data columns, extra ones
	into   []any
	raw    []byte // of the access list read last; most rows of a page share theirs
	access acl.Access

	started bool
	records []Record // not yet used
	fields  []Field
}

func newReader(t *table) *reader { return newReaderWith(t, 0) }

// newReaderWith reads some more columns behind those of selectList, into extra.
func newReaderWith(t *table, extra int) *reader {
	n := metaCount + len(t.columns) + extra
	r := &reader{table: t, values: make([]any, n), into: make([]any, n)}
	for i := range r.values {
		r.into[i] = &r.values[i]
	}
	return r
}

// extra returns the values behind those of selectList.
func (r *reader) extra() []any { return r.values[metaCount+len(r.table.columns):] }

func (r *reader) read(row pg.Row) (*Record, error) {
	if err := row.Scan(r.into...); err != nil {
		return nil, err
	}
	v := r.values
	rec := r.next()
	*rec = Record{Type: r.table.Name, Fields: rec.Fields, Key: textOf(v[0]), Database: textOf(v[1]), Owner: textOf(v[2]), Access: r.list(v[3])}
	rec.CreatedAt, _ = v[4].(time.Time)
	rec.CreatedBy = textOf(v[5])
	rec.UpdatedAt, _ = v[6].(time.Time)
	rec.UpdatedBy = textOf(v[7])
	for i := range r.table.columns {
		if c := &r.table.columns[i]; v[metaCount+i] != nil {
			rec.Fields = append(rec.Fields, Field{c.Name, valueOf(c, v[metaCount+i])})
		}
	}
	r.table.scrub(rec)
	return rec, nil
}

// chunk is how many records are allocated at once after the first.
const chunk = 16

// next returns an empty record with room for its fields.
func (r *reader) next() *Record {
	n := len(r.table.columns)
	if len(r.records) == 0 {
		size := 1
		if r.started {
			size = chunk
		}
		r.started = true
		r.records, r.fields = make([]Record, size), make([]Field, size*n)
	}
	rec := &r.records[0]
	rec.Fields = r.fields[:0:n]
	r.records, r.fields = r.records[1:], r.fields[n:]
	return rec
}

func (r *reader) list(v any) acl.Access {
	raw, ok := v.([]byte)
	switch {
	case !ok:
		return nil
	case r.raw == nil || !bytes.Equal(raw, r.raw):
		r.raw, r.access = raw, acl.FromColumn(raw)
	}
	return r.access
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// valueOf turns what the driver gives for a column into a value of a field.
func valueOf(c *schema.Column, v any) any {
	switch c.Kind {
	case schema.String:
		return textOf(v)
	case schema.JSON:
		raw, _ := v.([]byte)
		return JSON(raw)
	case schema.Ref:
		return Reference{c.Target, textOf(v)}
	case schema.Asset:
		return Asset{Name: textOf(v)}
	case schema.Location:
		lat, lng, _ := strings.Cut(textOf(v), " ")
		var l Location
		l.Lat, _ = strconv.ParseFloat(lat, 64)
		l.Lng, _ = strconv.ParseFloat(lng, 64)
		return l
	case schema.Geometry:
		return Geometry(textOf(v))
	case schema.Unknown:
		return Unknown{c.Underlying}
	}
	return v
}

// complete fills a record that was new with what was stored.
func (u *upsert) complete(rec *Record, r *row) {
	user := u.scope.actor.UserID
	rec.Database, rec.Owner, rec.CreatedBy, rec.UpdatedBy = u.scope.database, user, user, user
	rec.CreatedAt, rec.UpdatedAt = u.now, u.now
	if rec.Access = r.rec.Access; rec.Access == nil && u.table.HasDefault {
		rec.Access = u.table.DefaultAccess
	}
	for i := range r.cells {
		if c := &r.cells[i]; c.given {
			rec.Fields = append(rec.Fields, Field{c.col.Name, c.stored()})
		}
	}
	u.table.scrub(rec)
}

// stored is the value as it is read back.
func (c *cell) stored() any {
	switch v := c.value.(type) {
	case float64:
		if c.col.Kind != schema.Number {
			return int64(v)
		}
	case int64:
		if c.col.Kind == schema.Number {
			return float64(v)
		}
	case time.Time:
		return v.UTC().Truncate(time.Microsecond)
	case Reference:
		return valueOf(c.col, c.text)
	case Asset:
		return Asset{Name: v.Name}
	}
	return c.value
}

// holder shows a record to the rules of fields.
func (r *Record) holder() *acl.Holder {
	return &acl.Holder{Owner: r.Owner, Holds: func(field, user string) bool {
		switch v := r.Get(field).(type) {
		case string:
			return v == user
		case Reference:
			return v.Key == user
		case JSON:
			var list []any
			return json.Unmarshal(v, &list) == nil && slices.Contains(list, any(user))
		}
		return false
	}}
}

// scrub removes the fields that the viewer may not read or did not ask for. Wire: skygear §3.6.
func (t *table) scrub(rec *Record) {
	if !t.Guarded || t.viewer.Master() {
		return
	}
	h := rec.holder()
	kept := make([]Field, 0, len(rec.Fields))
	for _, f := range rec.Fields {
		if (t.desired == nil || slices.Contains(t.desired, f.Name)) && acl.AllowsField(t.Column(f.Name).Rules, t.viewer, acl.ReadField, h) {
			kept = append(kept, f)
		}
	}
	rec.Fields = kept
}

// Describe completes the assets in the fields of records, and of records in their Transient, with content
// type and URL: one statement for all of them, none where there is no asset. Wire: skygear §3.10.
func (s *Service) Describe(ctx context.Context, records ...*Record) error {
	if s.assets == nil {
		return nil
	}
	var fields []*Field
	for _, rec := range records {
		fields = appendAssets(fields, rec)
	}
	if len(fields) == 0 {
		return nil
	}
	var names []string
	for _, f := range fields {
		names = append(names, assetOf(f).Name)
	}
	slices.Sort(names)
	described, err := s.assets.Describe(ctx, slices.Compact(names))
	for _, f := range fields {
		if a, ok := described[assetOf(f).Name]; ok {
			f.Value = a
		}
	}
	return err
}

func assetOf(f *Field) Asset {
	a, _ := f.Value.(Asset)
	return a
}

// appendAssets appends the fields of rec that hold assets.
func appendAssets(fields []*Field, rec *Record) []*Field {
	for i := range rec.Fields {
		if _, ok := rec.Fields[i].Value.(Asset); ok {
			fields = append(fields, &rec.Fields[i])
		}
	}
	for i := range rec.Transient {
		if inner, ok := rec.Transient[i].Value.(*Record); ok && inner != nil {
			fields = appendAssets(fields, inner)
		}
	}
	return fields
}
