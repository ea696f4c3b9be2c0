package records

import (
	"encoding/json"
	"strings"
	"time"

	"crema/server/core/acl"
)

// Record is one record. Fields holds its data in any order; a NULL column is absent from what is read,
// and a nil value clears the field in what is saved.
type Record struct {
	Type      string
	Key       string
	Database  string     // "" public, else the user id; set by the service
	Owner     string     // set by the service
	Access    acl.Access // nil in a save: keep, or the type's default
	CreatedAt time.Time  // set by the service, UTC
	CreatedBy string
	UpdatedAt time.Time
	UpdatedBy string
	Fields    []Field
	Transient []Field // what Query.Include asked for: *Record, float64 or nil
}

// Field is a named value: nil, string, float64, int64, bool, time.Time, JSON, Location, Geometry,
// Reference, Asset, Sequence or Unknown.
type Field struct {
	Name  string
	Value any
}

// ID returns "type/key".
func (r *Record) ID() string { return r.Type + "/" + r.Key }

// Get returns the value of a field, nil when it is absent.
func (r *Record) Get(name string) any {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return r.Fields[i].Value
		}
	}
	return nil
}

// Set sets a field.
func (r *Record) Set(name string, value any) {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			r.Fields[i].Value = value
			return
		}
	}
	r.Fields = append(r.Fields, Field{name, value})
}

// JSON is an array or a plain object, as text.
type JSON json.RawMessage

// Location is a point in degrees.
type Location struct{ Lat, Lng float64 }

// Geometry is GeoJSON text.
type Geometry json.RawMessage

// Reference points to another record.
type Reference struct{ Type, Key string }

// Asset names a stored file.
type Asset struct {
	Name        string
	ContentType string // output only
	URL         string // output only
}

// Sequence asks that the database numbers this field.
type Sequence struct{}

// Unknown stands for a column whose type is not modelled.
type Unknown struct{ Underlying string }

// SplitID splits "type/key" at its first slash. Both parts are non-empty when ok.
func SplitID(id string) (typ, key string, ok bool) {
	typ, key, ok = strings.Cut(id, "/")
	return typ, key, ok && typ != "" && key != ""
}
