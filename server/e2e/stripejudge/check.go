package stripejudge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Spec is what the judge reads of an OpenAPI document of Stripe's.
type Spec struct {
	Info       struct{ Version string }
	Components struct{ Schemas map[string]*Schema }
	Paths      map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema *Schema }
		}
	}
}

// Schema has the keywords that these documents use.
type Schema struct {
	Ref        string `json:"$ref"`
	Type       string
	Nullable   bool
	AnyOf      []*Schema
	Enum       []any
	Properties map[string]*Schema
	Required   []string
	Items      *Schema
	MaxLength  int
	Pattern    string
	Additional json.RawMessage `json:"additionalProperties"`
	Bypass     bool            `json:"x-stripeBypassValidation"`
}

// Parse reads an OpenAPI document.
func Parse(raw []byte) (*Spec, error) {
	var s Spec
	return &s, json.Unmarshal(raw, &s)
}

// Check returns what is wrong with an answer, as "schema.property: why". An error answer is held to the
// schema "error"; an event's snapshot to the schema of its own kind.
func (s *Spec) Check(method, path string, status int, body []byte) []string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return []string{"the answer is not JSON: " + err.Error()}
	}
	c := checker{spec: s}
	schema := s.Components.Schemas["error"]
	if status < 400 {
		if schema = s.response(method, path); schema == nil {
			return []string{method + " " + path + ": the spec has no such endpoint"}
		}
	}
	c.check("answer", schema, v)
	slices.Sort(c.bad)
	return slices.Compact(c.bad)
}

// response finds the schema of a 200; paths without parameters come first.
func (s *Spec) response(method, path string) *Schema {
	templates := slices.SortedFunc(maps.Keys(s.Paths), func(a, b string) int {
		return strings.Count(a, "{") - strings.Count(b, "{")
	})
	for _, t := range templates {
		if matches(t, path) {
			if op, ok := s.Paths[t][strings.ToLower(method)]; ok {
				return op.Responses["200"].Content["application/json"].Schema
			}
		}
	}
	return nil
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, "{") })
}

type checker struct {
	spec *Spec
	bad  []string
}

func (c *checker) fail(at, format string, args ...any) {
	c.bad = append(c.bad, at+": "+fmt.Sprintf(format, args...))
}

func (c *checker) check(at string, s *Schema, v any) {
	if s.Ref != "" {
		name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
		c.check(name, c.spec.Components.Schemas[name], v)
		return
	}
	switch {
	case v == nil:
		if !s.Nullable {
			c.fail(at, "null")
		}
		return
	case len(s.AnyOf) > 0:
		c.anyOf(at, s, v)
		return
	case len(s.Enum) > 0 && !s.Bypass && !slices.Contains(s.Enum, v):
		c.fail(at, "%v is not one of %v", v, s.Enum)
	}
	switch v := v.(type) {
	case map[string]any:
		c.kind(at, s, "object")
		c.object(at, s, v)
	case []any:
		c.kind(at, s, "array")
		for _, item := range v {
			if s.Items != nil {
				c.check(at+"[]", s.Items, item)
			}
		}
	case string:
		c.kind(at, s, "string")
		c.text(at, s, v)
	case bool:
		c.kind(at, s, "boolean")
	case json.Number:
		got := "integer"
		if _, err := v.Int64(); err != nil || s.Type == "number" {
			got = "number"
		}
		c.kind(at, s, got)
	}
}

func (c *checker) kind(at string, s *Schema, got string) {
	if s.Type != "" && s.Type != got {
		c.fail(at, "is %s, want %s", got, s.Type)
	}
}

func (c *checker) text(at string, s *Schema, v string) {
	if s.MaxLength > 0 && len([]rune(v)) > s.MaxLength {
		c.fail(at, "longer than %d", s.MaxLength)
	}
	if s.Pattern == "" {
		return
	}
	if re, err := regexp.Compile(s.Pattern); err == nil && !re.MatchString(v) {
		c.fail(at, "does not match %s", s.Pattern)
	}
}

// anyOf takes the branch of the object's own kind, else the first that fits, else reports about the one
// that got furthest.
func (c *checker) anyOf(at string, s *Schema, v any) {
	if branch := c.sameKind(s.AnyOf, v); branch != nil {
		c.check(at, branch, v)
		return
	}
	var least []string
	for i, branch := range s.AnyOf {
		try := checker{spec: c.spec}
		try.check(at, branch, v)
		if len(try.bad) == 0 {
			return
		}
		if i == 0 || len(try.bad) < len(least) {
			least = try.bad
		}
	}
	c.bad = append(c.bad, least...)
}

func (c *checker) sameKind(branches []*Schema, v any) *Schema {
	m, _ := v.(map[string]any)
	if m["object"] == nil || m["deleted"] != nil {
		return nil
	}
	for _, b := range branches {
		named := c.spec.Components.Schemas[b.Ref[strings.LastIndex(b.Ref, "/")+1:]]
		if named != nil && named.Properties["object"] != nil && slices.Contains(named.Properties["object"].Enum, m["object"]) {
			return b
		}
	}
	return nil
}

func (c *checker) object(at string, s *Schema, v map[string]any) {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			c.fail(at+"."+name, "missing")
		}
	}
	var more *Schema
	free := string(s.Additional) == "true" || len(s.Properties) == 0 && len(s.Additional) == 0
	if !free && json.Unmarshal(s.Additional, &more) != nil {
		more = nil
	}
	for name, value := range v {
		switch p := s.Properties[name]; {
		case p != nil:
			c.check(at+"."+name, p, value)
		case more != nil:
			c.check(at+"."+name, more, value)
		case !free:
			c.fail(at+"."+name, "unknown property")
		}
	}
	c.snapshot(v)
}

// snapshot checks the object inside an event.
func (c *checker) snapshot(v map[string]any) {
	data, _ := v["data"].(map[string]any)
	object, _ := data["object"].(map[string]any)
	kind, _ := object["object"].(string)
	if v["object"] != "event" {
		return
	}
	if schema := c.spec.Components.Schemas[kind]; schema != nil {
		c.check(kind, schema, object)
		return
	}
	c.fail("event.data.object", "has no kind")
}
