package schema

import (
	"strings"
	"sync"

	"crema/server/core/acl"
)

// Kind is the type of a field without its target.
type Kind string

// The kinds, by their wire names. Wire: skygear §3.3.
const (
	String   Kind = "string"
	Number   Kind = "number"
	Integer  Kind = "integer"
	Boolean  Kind = "boolean"
	Datetime Kind = "datetime"
	JSON     Kind = "json"
	Location Kind = "location"
	Geometry Kind = "geometry"
	Ref      Kind = "ref"
	Asset    Kind = "asset"
	Sequence Kind = "sequence"
	Unknown  Kind = "unknown"
)

// FieldType is the type of a field.
type FieldType struct {
	Kind       Kind
	Target     string // record type that a Ref points to
	Underlying string // PostgreSQL's name of the type
}

// String returns the wire name: "string", "ref(category)".
func (t FieldType) String() string {
	if t.Kind == Ref {
		return "ref(" + t.Target + ")"
	}
	return string(t.Kind)
}

// ParseFieldType reads a wire name. Types that nobody can ask for, such as unknown, are not ok.
func ParseFieldType(s string) (t FieldType, ok bool) {
	if target, found := strings.CutPrefix(s, "ref("); found {
		target, ok = strings.CutSuffix(target, ")")
		return FieldType{Kind: Ref, Target: target}, ok && target != ""
	}
	switch Kind(s) {
	case String, Number, Integer, Boolean, Datetime, JSON, Location, Geometry, Asset, Sequence:
		return FieldType{Kind: Kind(s)}, true
	}
	return FieldType{}, false
}

// Column is a field of a record type.
type Column struct {
	Name string
	FieldType
	Index    int             // in Type.Columns
	SQL      string          // the name quoted
	Read     string          // the expression that reads it from the row t; a location is "lat lng"
	ArgType  string          // how its values are passed
	Sequence string          // quoted, qualified name of the sequence that numbers it, where there is one
	Rules    []acl.FieldRule // who may use it, sorted; none: everybody
	geo      string
}

// Field is a field that somebody needs.
type Field struct {
	Name string
	Type FieldType
}

// Change asks for a record type and fields of it.
type Change struct {
	Type   string
	Fields []Field
}

// Type is a record type. It never changes; a later Snapshot holds another one.
type Type struct {
	Name          string
	Table         string     // quoted, with the schema
	Columns       []Column   // without the reserved ones, by name
	ReadAll       string     // ReadList of all columns
	ReadUpdated   string     // the same for RETURNING, where a row that was new has NULLs behind its _id
	Guarded       bool       // some column has rules
	HasAssets     bool       // some column holds assets
	Fills         bool       // a new row may hold what nobody sent: defaults, sequences, triggers
	Sealed        bool       // only the master key writes its records; the server itself makes them
	CreationRoles []string   // who may create; empty: every user
	HasDefault    bool       // DefaultAccess is set
	DefaultAccess acl.Access // given to records saved without a list
	byName        map[string]int
	mu            sync.RWMutex
	derived       map[string]string
}

// Bounds of what is kept for one type: how many texts, and how long each.
const (
	maxDerived     = 256
	maxDerivedText = 16 << 10
)

// Derived returns what make returned for key the first time: statements that depend on the type are
// kept as long as it lives.
func (t *Type) Derived(key []byte, make func() string) string {
	t.mu.RLock()
	s, ok := t.derived[string(key)]
	t.mu.RUnlock()
	if ok {
		return s
	}
	s = make()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.derived) < maxDerived && len(s) <= maxDerivedText {
		t.derived[string(key)] = s
	}
	return s
}

// Column returns the field of this name, or nil.
func (t *Type) Column(name string) *Column {
	i, ok := t.byName[name]
	if !ok {
		return nil
	}
	return &t.Columns[i]
}

// Snapshot is a picture of all record types. It never changes.
type Snapshot struct {
	Version int64
	// VersionTable is the table with the version, quoted, for statements that compare it.
	VersionTable string
	Tables       string // quoted schema of the app's tables with its dot
	GeoPath      string // quoted schema of PostGIS with its dot; "" where PostGIS is not installed
	types        map[string]*Type
	names        []string
}

// Type returns the record type of this name, or nil.
func (s *Snapshot) Type(name string) *Type { return s.types[name] }

// Holds says whether values of type t can be stored in a column of type c. Numbers of all kinds go
// together; nothing else does. Wire: skygear §3.5.
func (c FieldType) Holds(t FieldType) bool {
	if c.Kind == t.Kind {
		return c.Target == t.Target
	}
	return c.numeric() && t.numeric()
}

func (c FieldType) numeric() bool {
	return c.Kind == Number || c.Kind == Integer || c.Kind == Sequence
}

// Names returns the names of all record types, sorted.
func (s *Snapshot) Names() []string { return s.names }
