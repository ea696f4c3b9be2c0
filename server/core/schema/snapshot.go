package schema

import (
	"slices"
	"strings"

	"crema/server/base/pg"
	"crema/server/core/acl"
)

// reserved are the columns that every record table has. Wire: skygear §3.4.
var reserved = [...]string{
	"_access", "_created_at", "_created_by", "_database_id", "_id", "_owner_id", "_updated_at", "_updated_by",
}

// addTypes fills s from the catalogue. A table without the reserved columns is somebody else's and
// cannot be reached.
func (s *Snapshot) addTypes(columns []catalogColumn, schema pg.Ident) {
	for rest := columns; len(rest) > 0; {
		name := rest[0].Table
		n := slices.IndexFunc(rest, func(c catalogColumn) bool { return c.Table != name })
		if n < 0 {
			n = len(rest)
		}
		if t := typeOf(rest[:n], schema); t != nil {
			for i := range t.Columns {
				t.Columns[i].complete(s.GeoPath)
			}
			t.ReadAll, t.ReadUpdated = ReadList(t.Columns), readUpdated(t.Columns)
			s.types[name] = t
			s.names = append(s.names, name)
		}
		rest = rest[n:]
	}
	slices.Sort(s.names)
}

func typeOf(columns []catalogColumn, schema pg.Ident) *Type {
	name := columns[0].Table
	t := &Type{Name: name, Table: schema.SQL() + "." + pg.Ident(name).SQL(), byName: map[string]int{}, derived: map[string]string{}}
	found := 0
	for _, c := range columns {
		t.Fills = t.Fills || c.Fills
		if _, ok := slices.BinarySearch(reserved[:], c.Name); ok {
			found++
			continue
		}
		t.byName[c.Name] = len(t.Columns)
		t.Columns = append(t.Columns, c.column(len(t.Columns)))
		t.HasAssets = t.HasAssets || t.Columns[len(t.Columns)-1].Kind == Asset
	}
	if found < len(reserved) {
		return nil
	}
	return t
}

func (c catalogColumn) column(index int) Column {
	t := FieldType{Kind: c.kind(), Underlying: c.Type}
	if t.Kind == Ref {
		t.Target = c.Target
	}
	return Column{Name: c.Name, FieldType: t, Index: index, Sequence: c.Sequence, SQL: pg.Ident(c.Name).SQL()}
}

// kind says what a column is to an app. Wire: skygear §3.3.
func (c catalogColumn) kind() Kind {
	switch c.Type {
	case "text":
		switch {
		case c.Target == "_asset":
			return Asset
		case c.Target != "" && c.Target[0] != '_':
			return Ref
		}
		return String
	case "citext":
		return String
	case "float8":
		return Number
	case "int4", "int8":
		if c.Sequence != "" {
			return Sequence
		}
		return Integer
	case "bool":
		return Boolean
	case "timestamp":
		return Datetime
	case "jsonb":
		return JSON
	case "geometry":
		if strings.Contains(strings.ToLower(c.Formatted), "(point") {
			return Location
		}
		return Geometry
	}
	return Unknown
}

// guarded is what rules are about; "*" stands for all.
type guarded struct{ typ, field string }

// guard gives every column the first group of rules that is about it. Wire: skygear §3.6.
func (s *Snapshot) guard(rules map[guarded][]acl.FieldRule) {
	for g := range rules {
		acl.SortFieldRules(rules[g])
	}
	for _, t := range s.types {
		for i := range t.Columns {
			c := &t.Columns[i]
			for _, g := range [...]guarded{{t.Name, c.Name}, {t.Name, "*"}, {"*", c.Name}, {"*", "*"}} {
				if found, ok := rules[g]; ok {
					c.Rules, t.Guarded = found, true
					break
				}
			}
		}
	}
}
