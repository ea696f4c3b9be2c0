package skygear

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/core/schema"
	"crema/server/web"
)

func (d *Door) schemaActions() map[string]action {
	return map[string]action{
		"schema:fetch":               {developer, d.fetchSchema},
		"schema:create":              {developer, d.createSchema},
		"schema:rename":              {developer, d.renameField},
		"schema:delete":              {developer, d.deleteField},
		"schema:access":              {developer, d.setCreationRoles},
		"schema:default_access":      {developer, d.setDefaultAccess},
		"schema:field_access:get":    {admin, d.fieldRules},
		"schema:field_access:update": {admin, d.setFieldRules},
	}
}

func (d *Door) fetchSchema(ctx context.Context, w http.ResponseWriter, _ call) error {
	snap, err := d.c.Schema.Newest(ctx)
	return writeSchema(w, snap, err)
}

func (d *Door) createSchema(ctx context.Context, w http.ResponseWriter, c call) error {
	changes, err := decodeTypes(c.params)
	if err != nil {
		return err
	}
	if _, err := d.c.Schema.Ensure(ctx, changes, true); err != nil {
		return err
	}
	return d.fetchSchema(ctx, w, c)
}

func (d *Door) renameField(ctx context.Context, w http.ResponseWriter, c call) error {
	texts, err := texts(c.params, "record_type", "item_name", "new_name")
	if err != nil {
		return err
	}
	snap, err := d.c.Schema.Rename(ctx, texts[0], texts[1], texts[2])
	return writeSchema(w, snap, err)
}

func (d *Door) deleteField(ctx context.Context, w http.ResponseWriter, c call) error {
	texts, err := texts(c.params, "record_type", "item_name")
	if err != nil {
		return err
	}
	snap, err := d.c.Schema.Delete(ctx, texts[0], texts[1])
	return writeSchema(w, snap, err)
}

func (d *Door) setCreationRoles(ctx context.Context, w http.ResponseWriter, c call) error {
	var roles []string
	typ, err := ruleOf(c.params, "create_roles", &roles)
	if err != nil {
		return err
	}
	if err := d.c.Schema.SetCreationRoles(ctx, typ, roles); err != nil {
		return err
	}
	return writeResult(w, struct {
		Type  string   `json:"type"`
		Roles []string `json:"create_roles,omitempty"`
	}{typ, roles})
}

func (d *Door) setDefaultAccess(ctx context.Context, w http.ResponseWriter, c call) error {
	var raw []json.RawMessage
	typ, err := ruleOf(c.params, "default_access", &raw)
	if err != nil {
		return err
	}
	access, err := acl.Decode(c.params["default_access"])
	if err != nil {
		return fault.From(err).With("arguments", []string{"default_access"})
	}
	if err := d.c.Schema.SetDefaultAccess(ctx, typ, access); err != nil {
		return err
	}
	return writeResult(w, struct {
		Type   string     `json:"type"`
		Access acl.Access `json:"default_access,omitempty"`
	}{typ, access})
}

func (d *Door) fieldRules(ctx context.Context, w http.ResponseWriter, _ call) error {
	rules, err := d.c.Schema.FieldRules(ctx)
	return writeRules(w, rules, err)
}

func (d *Door) setFieldRules(ctx context.Context, w http.ResponseWriter, c call) error {
	rules, err := decodeRules(c.params["access"])
	if err != nil {
		return err
	}
	rules, err = d.c.Schema.SetFieldRules(ctx, rules)
	return writeRules(w, rules, err)
}

// texts reads parameters that must be given; the error names all that are missing.
func texts(p records.Params, names ...string) ([]string, error) {
	values := make([]string, len(names))
	var missing []string
	for i, name := range names {
		if values[i] = records.Text(p, name); values[i] == "" {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return values, nil
	}
	return nil, fault.New(fault.Invalid, "skygear.missing", "send %q as text", missing).With("arguments", missing)
}

// ruleOf reads the type and the list of a rule about it. A list must be given: none means something.
func ruleOf(p records.Params, name string, list any) (typ string, err error) {
	typ = records.Text(p, "type")
	if typ == "" {
		return "", fault.Argument("skygear.missing", "type", "type must be the name of a record type")
	}
	return typ, decodeGiven(p, name, list)
}

// decodeGiven reads a parameter that must be given.
func decodeGiven(p records.Params, name string, into any) error {
	raw := p[name]
	if len(raw) == 0 || string(raw) == "null" {
		return fault.Argument("skygear.missing", name, "%s must be given", name)
	}
	if json.Unmarshal(raw, into) != nil {
		return fault.New(fault.BadRequest, "skygear.wrong_type", "%s is of a wrong type", name)
	}
	return nil
}

// wireType is a record type as the wire shows it.
type wireType struct {
	Fields []wireField `json:"fields"`
}

type wireField struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func decodeTypes(p records.Params) ([]schema.Change, error) {
	var types map[string]wireType
	if err := decodeGiven(p, "record_types", &types); err != nil {
		return nil, err
	}
	changes := make([]schema.Change, 0, len(types))
	for name, t := range types {
		c := schema.Change{Type: name}
		for _, f := range t.Fields {
			typ, ok := schema.ParseFieldType(f.Type)
			if !ok {
				return nil, fault.Argument("skygear.field_type", f.Type, "%q is no type of a field; known are string, number, integer, boolean, datetime, json, location, geometry, asset, sequence and ref(<record type>)", f.Type)
			}
			c.Fields = append(c.Fields, schema.Field{Name: f.Name, Type: typ})
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func writeSchema(w http.ResponseWriter, snap *schema.Snapshot, err error) error {
	if err != nil {
		return err
	}
	types := make(map[string]wireType, len(snap.Names()))
	for _, name := range snap.Names() {
		t := wireType{Fields: []wireField{}}
		for _, c := range snap.Type(name).Columns {
			t.Fields = append(t.Fields, wireField{c.Name, c.FieldType.String()})
		}
		types[name] = t
	}
	return writeResult(w, map[string]any{"record_types": types})
}

// wireRule is a rule about a field. Every key must be given.
type wireRule struct {
	Type         *string `json:"record_type"`
	Field        *string `json:"record_field"`
	Viewer       *string `json:"user_role"`
	Writable     *bool   `json:"writable"`
	Readable     *bool   `json:"readable"`
	Comparable   *bool   `json:"comparable"`
	Discoverable *bool   `json:"discoverable"`
}

func decodeRules(raw json.RawMessage) ([]schema.FieldRule, error) {
	var list []wireRule
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return nil, fault.Argument("skygear.rules", "access", "access must be an array of rules; an empty one removes them all")
	}
	rules := make([]schema.FieldRule, len(list))
	for i, r := range list {
		if slices.Contains([]*string{r.Type, r.Field, r.Viewer}, nil) || slices.Contains([]*bool{r.Writable, r.Readable, r.Comparable, r.Discoverable}, nil) {
			return nil, fault.Argument("skygear.rules", "access", "entry %d of access lacks one of record_type, record_field, user_role, writable, readable, comparable and discoverable", i)
		}
		rules[i] = schema.FieldRule{Type: *r.Type, Field: *r.Field, FieldRule: acl.FieldRule{
			Viewer: *r.Viewer, Writable: *r.Writable, Readable: *r.Readable, Comparable: *r.Comparable, Discoverable: *r.Discoverable,
		}}
	}
	return rules, nil
}

func writeRules(w http.ResponseWriter, rules []schema.FieldRule, err error) error {
	if err != nil {
		return err
	}
	list := make([]wireRule, len(rules))
	for i := range rules {
		r := &rules[i]
		list[i] = wireRule{&r.Type, &r.Field, &r.Viewer, &r.Writable, &r.Readable, &r.Comparable, &r.Discoverable}
	}
	return writeResult(w, map[string]any{"access": list})
}

func writeResult(w http.ResponseWriter, result any) error {
	web.WriteJSON(w, http.StatusOK, map[string]any{"result": result})
	return nil
}
