package schema

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"crema/server/base/fault"
)

// maxName is the length in bytes at which PostgreSQL cuts names.
const maxName = 63

// maxColumns is PostgreSQL's own limit.
const maxColumns = 1600

// merge joins the changes to one per type, with one entry per field, sorted. Two that disagree about a
// field are a conflict.
func merge(changes []Change) ([]Change, error) {
	byType := map[string]map[string]FieldType{}
	for _, c := range changes {
		if err := CheckName("record type", c.Type); err != nil {
			return nil, err
		}
		fields := byType[c.Type]
		if fields == nil {
			fields = map[string]FieldType{}
			byType[c.Type] = fields
		}
		for _, f := range c.Fields {
			if err := mergeField(fields, c.Type, f); err != nil {
				return nil, err
			}
		}
	}
	merged := make([]Change, 0, len(byType))
	for _, name := range slices.Sorted(maps.Keys(byType)) {
		c := Change{Type: name}
		for _, field := range slices.Sorted(maps.Keys(byType[name])) {
			c.Fields = append(c.Fields, Field{field, byType[name][field]})
		}
		merged = append(merged, c)
	}
	return merged, nil
}

func mergeField(fields map[string]FieldType, typ string, f Field) error {
	if err := CheckName("field", f.Name); err != nil {
		return err
	}
	old, ok := fields[f.Name]
	switch {
	case !ok || old.Kind != Sequence && f.Type.Kind == Sequence && old.Holds(f.Type):
		fields[f.Name] = f.Type
	case !old.Holds(f.Type):
		return conflict(typ, f, old)
	}
	return nil
}

func conflict(typ string, f Field, old FieldType) *fault.Error {
	return fault.New(fault.Incompatible, "schema.conflict", "field %s of record type %s is of type %s and cannot hold a value of type %s", f.Name, typ, old, f.Type)
}

// systemColumns are in every table of PostgreSQL.
var systemColumns = []string{"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}

// CheckName refuses names that a table or a column cannot have. what says in the message what the name
// is of.
func CheckName(what, name string) error {
	problem := ""
	switch {
	case name == "":
		problem = "is empty"
	case name[0] == '_':
		problem = "starts with an underscore"
	case len(name) > maxName:
		problem = "is longer than 63 bytes"
	case strings.ContainsRune(name, 0):
		problem = "contains a NUL character"
	case !utf8.ValidString(name):
		problem = "is not valid UTF-8"
	case what == "field" && slices.Contains(systemColumns, name):
		problem = "is taken by PostgreSQL itself"
	}
	if problem == "" {
		return nil
	}
	return fault.Argument("schema.bad_name", clip(name), "the name %q of a %s %s", clip(name), what, problem)
}

// clip bounds what a message repeats.
func clip(name string) string {
	if len(name) > 80 {
		name = name[:80] + "..."
	}
	return strings.ToValidUTF8(name, "\uFFFD")
}

// missing returns what wanted asks for beyond s. It fails when a field is of another type already, or
// refers to a type that neither exists nor is wanted.
func (s *Snapshot) missing(wanted []Change) ([]Change, error) {
	var missing []Change
	for _, c := range wanted {
		t := s.Type(c.Type)
		lack := Change{Type: c.Type}
		for _, f := range c.Fields {
			if t != nil && t.Column(f.Name) != nil {
				if old := t.Column(f.Name).FieldType; !old.Holds(f.Type) {
					return nil, conflict(c.Type, f, old)
				}
				continue
			}
			if err := s.checkTarget(c.Type, f, wanted); err != nil {
				return nil, err
			}
			lack.Fields = append(lack.Fields, f)
		}
		if t != nil && len(t.Columns)+len(lack.Fields) > maxColumns-len(reserved) || len(lack.Fields) > maxColumns-len(reserved) {
			return nil, fault.New(fault.Invalid, "schema.too_many_columns", "record type %q would have too many fields; a type holds at most %d", c.Type, maxColumns-len(reserved))
		}
		if t == nil || len(lack.Fields) > 0 {
			missing = append(missing, lack)
		}
	}
	return missing, nil
}

func (s *Snapshot) checkTarget(typ string, f Field, wanted []Change) error {
	target := f.Type.Target
	if f.Type.Kind != Ref || s.Type(target) != nil || slices.ContainsFunc(wanted, func(c Change) bool { return c.Type == target }) {
		return nil
	}
	return fault.New(fault.Incompatible, "schema.no_target", "field %s of record type %s refers to record type %s, which does not exist; save one of those first", f.Name, typ, target)
}
