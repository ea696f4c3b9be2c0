package functions

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// shape is what check knows of a type: which fields its objects have and must have. Where it knows
// nothing it is nil and takes any value; encoding/json judges that afterwards.
type shape struct {
	fields []field
	index  map[string]int // of a struct: JSON name -> fields
	list   *shape         // of an array: its values
	dict   *shape         // of a map: its values
}

type field struct {
	name     string
	required bool
	of       *shape
}

// shapeOf compiles a struct type. It refuses types that JSON cannot fill, two fields of one name, and
// leaves types that decode themselves alone.
func shapeOf(t reflect.Type) (*shape, error) {
	return shaper{}.of(t, t.Name())
}

// shaper remembers the types on its way, since a struct may hold itself.
type shaper map[reflect.Type]*shape

func (m shaper) of(t reflect.Type, at string) (*shape, error) {
	if decodesItself(t) {
		return nil, nil
	}
	if known, ok := m[t]; ok {
		return known, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.of(t.Elem(), at)
	case reflect.Slice, reflect.Array, reflect.Map:
		return m.container(t, at)
	case reflect.Struct:
		sh := &shape{index: map[string]int{}}
		m[t] = sh
		return sh, m.fields(sh, t, at, false)
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return nil, fmt.Errorf("field %s: JSON has no value for %v", at, t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return nil, fmt.Errorf("field %s: JSON cannot fill the interface %v", at, t)
		}
	}
	return nil, nil
}

func (m shaper) container(t reflect.Type, at string) (*shape, error) {
	sh := &shape{}
	m[t] = sh
	elem, err := m.of(t.Elem(), at+"[]")
	if t.Kind() == reflect.Map {
		sh.dict = elem
	} else {
		sh.list = elem
	}
	return sh, err
}

// fields adds the fields of t to sh, those of embedded structs included. optional is set below an
// embedded pointer.
func (m shaper) fields(sh *shape, t reflect.Type, at string, optional bool) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if inner := embedded(f); inner != nil && name == "" {
			if err := m.fields(sh, inner, at, optional || f.Type.Kind() == reflect.Pointer); err != nil {
				return err
			}
			continue
		}
		if !f.IsExported() || f.Tag.Get("json") == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if err := m.field(sh, f, name, at, optional); err != nil {
			return err
		}
	}
	return nil
}

func (m shaper) field(sh *shape, f reflect.StructField, name, at string, optional bool) error {
	at += "." + name
	if _, twice := sh.index[name]; twice {
		return fmt.Errorf("field %s: another field has this JSON name", at)
	}
	of, err := m.of(f.Type, at)
	if err != nil {
		return err
	}
	tag, tagged := f.Tag.Lookup("lambda")
	if tagged && tag != "optional" {
		return fmt.Errorf("field %s: the tag lambda:%q is not known; there is lambda:\"optional\"", at, tag)
	}
	sh.index[name] = len(sh.fields)
	sh.fields = append(sh.fields, field{
		name: name, of: of,
		required: !optional && !tagged && f.Type.Kind() != reflect.Pointer,
	})
	return nil
}

// embedded returns the struct whose fields f promotes, nil when there is none.
func embedded(f reflect.StructField) reflect.Type {
	t := f.Type
	if t.Kind() == reflect.Pointer && f.IsExported() {
		t = t.Elem()
	}
	if !f.Anonymous || t.Kind() != reflect.Struct || decodesItself(f.Type) {
		return nil
	}
	return t
}

func decodesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
