package records

import (
	"encoding/json"
	"strings"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

// compiler turns a query of the wire into SQL about the row t. Wire: skygear §3.7.
type compiler struct {
	snap  *schema.Snapshot
	table *table // nil: the type has no table, only shapes are checked
	actor acl.Actor
	use   acl.FieldUse // what the key paths at hand are for
	args  params
	joins []join

	shapes bool // PostGIS has to read shapes
}

// join is a table that a key path of two parts reaches. A record that the actor may not read counts as
// missing there: otherwise whoever may point a reference at it could spell out its fields by searching.
// (Skygear asked for no access here.)
type join struct {
	alias     string
	ref       *schema.Column
	table     *schema.Type
	condition string
}

// operand is one side of a comparison. A column or a computed value has sql and kind; a literal has
// neither until it meets the other side.
type operand struct {
	sql        string
	kind       schema.Kind
	underlying string
	column     *schema.Column // nil for reserved columns and computed values
	literal    any
}

// Kinds that only operands have.
const (
	isLiteral schema.Kind = ""
	anything  schema.Kind = "any" // a field of a type without a table
	isAccess  schema.Kind = "acl"
)

// Bounds of a predicate, so that neither this server nor PostgreSQL runs out of stack or arguments.
const (
	maxDepth = 100
	maxArgs  = 10000
)

func badPredicate(format string, args ...any) *fault.Error {
	return fault.Argument("records.bad_query", "predicate", format, args...)
}

func unknownField(format string, args ...any) *fault.Error {
	return fault.New(fault.QueryInvalid, "records.unknown_field", format, args...)
}

// predicate returns the condition for v. plain says that nothing but "and" stands around it.
func (c *compiler) predicate(v any, depth int, plain bool) (string, error) {
	list, ok := v.([]any)
	if !ok || len(list) < 2 {
		return "", badPredicate("a predicate must be an array like [\"eq\", {\"$type\":\"keypath\",\"$val\":\"name\"}, \"x\"]")
	}
	if depth > maxDepth || len(c.args) > maxArgs {
		return "", badPredicate("the predicate is nested too deeply or too long")
	}
	op, _ := list[0].(string)
	switch op {
	case "and", "or":
		return c.junction(op, list[1:], depth, plain && op == "and")
	case "not":
		inner, err := c.predicate(list[1], depth+1, false)
		return "NOT " + inner, err
	case "eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "in":
		if len(list) != 3 {
			return "", badPredicate("%q compares exactly two things", op)
		}
		c.use = acl.CompareField
		if plain && (op == "eq" || op == "in") {
			c.use = acl.DiscoverField
		}
		defer func() { c.use = acl.CompareField }()
		return c.comparison(op, list[1], list[2])
	case "func":
		return c.functional(list)
	}
	return "", badPredicate("%q is no operator; known are and, or, not, eq, neq, gt, gte, lt, lte, like, ilike, in and func", clip(op))
}

// clip bounds what a message repeats.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 80)], "") }

func (c *compiler) junction(op string, children []any, depth int, plain bool) (string, error) {
	parts := make([]string, len(children))
	for i, child := range children {
		part, err := c.predicate(child, depth+1, plain)
		if err != nil {
			return "", err
		}
		parts[i] = part
	}
	return "(" + strings.Join(parts, " "+strings.ToUpper(op)+" ") + ")", nil
}

// functional is a function in the place of a predicate.
func (c *compiler) functional(list []any) (string, error) {
	name, _ := list[1].(string)
	switch name {
	case "userRelation":
		return c.userRelation(list[2:])
	case "distance":
		return "", fault.New(fault.NotSupported, "records.bad_function", "distance is a number; compare it with one")
	}
	return "", badPredicate("%q is no function; known are distance and userRelation", clip(name))
}

// userRelation says that a column holds the id of a user who is related to the actor. Wire: skygear §3.7.
func (c *compiler) userRelation(args []any) (string, error) {
	if len(args) != 2 {
		return "", badPredicate("userRelation takes a key path and a relation")
	}
	path, ok := args[0].(map[string]any)
	relation, isObject := args[1].(map[string]any)
	if !ok || !isObject || path["$type"] != "keypath" || relation["$type"] != "relation" {
		return "", badPredicate("userRelation takes a key path and a relation")
	}
	table := decoded(relation).text("$name")
	if table != "_friend" && table != "_follow" {
		return "", fault.New(fault.NotSupported, "records.no_relation", "relations between users are _friend and _follow")
	}
	direction, err := directionOf(relation["$direction"])
	if err != nil {
		return "", err
	}
	column := decoded(path).text("$val")
	if column == "" {
		column = "_owner_id"
	}
	o, err := c.keyPath(column)
	switch {
	case err != nil:
		return "", err
	case c.table == nil:
		return "false", nil
	case family(o.kind) != "text":
		return "", unknownField("userRelation needs a field with the id of a user, which %q is not", clip(column))
	case c.actor.UserID == "":
		return "false", nil
	}
	return related(c.snap.Tables+table, direction, c.args.add(c.actor.UserID), o.sql), nil
}

// directionOf reads $direction; without it a relation must hold both ways.
func directionOf(v any) (string, error) {
	switch v {
	case nil, "mutual":
		return "mutual", nil
	case "outward":
		return "outward", nil
	case "inward":
		return "inward", nil
	}
	return "", badPredicate("the $direction of a relation is outward, inward or mutual")
}

func (c *compiler) comparison(op string, l, r any) (string, error) {
	args, joins := len(c.args), len(c.joins)
	left, err := c.operand(l)
	if err != nil {
		return "", err
	}
	right, err := c.operand(r)
	if err != nil {
		return "", err
	}
	if c.table == nil {
		return "false", nil
	}
	condition, err := c.compare(op, left, right)
	if condition == "false" { // its arguments must not stay without a use, nor its joins without arguments
		c.args, c.joins = c.args[:args], c.joins[:joins]
	}
	return condition, err
}

func (c *compiler) compare(op string, l, r operand) (string, error) {
	switch op {
	case "in":
		return c.membership(l, r)
	case "like", "ilike":
		return c.pattern(op, l, r)
	}
	return c.order(op, l, r)
}

// operand reads an expression: a key path, a distance or a literal.
func (c *compiler) operand(v any) (operand, error) {
	switch v := v.(type) {
	case map[string]any:
		if path, ok := v["$val"].(string); ok && path != "" {
			return c.keyPath(path)
		}
		if _, ok := v["$type"]; ok {
			value, err := typedValue("predicate", decoded(v))
			if _, isPath := value.(keyPath); isPath {
				return operand{}, badPredicate("a key path needs a $val, the name of a field")
			}
			return operand{literal: value}, err
		}
	case []any:
		if len(v) > 0 && v[0] == "func" {
			return c.function(v)
		}
	case json.Number:
		f, err := exactNumber("predicate", string(v))
		return operand{literal: f}, err
	case int:
		return operand{literal: float64(v)}, nil
	case int64:
		return operand{literal: float64(v)}, nil
	}
	return operand{literal: v}, nil
}

// keyPath finds the column of "field" or "ref.field". A field whose own name has dots comes first.
func (c *compiler) keyPath(path string) (operand, error) {
	parts := strings.Split(path, ".")
	switch {
	case c.table != nil && c.table.Column(path) != nil:
		return c.column(c.table.Type, "t", path)
	case len(parts) > 2:
		return operand{}, unknownField("the key path %q has more than two parts", clip(path))
	case c.table == nil:
		return operand{kind: anything}, nil
	case len(parts) == 1:
		return c.column(c.table.Type, "t", path)
	}
	ref := c.table.Column(parts[0])
	if ref == nil || ref.Kind != schema.Ref {
		return operand{}, unknownField("field %q of record type %s is no reference, so the key path %q leads nowhere", clip(parts[0]), c.table.Name, clip(path))
	}
	if err := c.permits(ref); err != nil {
		return operand{}, err
	}
	target := c.snap.Type(ref.Target)
	if target == nil {
		return operand{}, unknownField("record type %s does not exist", ref.Target)
	}
	return c.column(target, c.joined(ref, target), parts[1])
}

// joined returns the alias of the table that ref points to.
func (c *compiler) joined(ref *schema.Column, target *schema.Type) string {
	for _, j := range c.joins {
		if j.ref == ref {
			return j.alias
		}
	}
	alias := "j" + string(rune('a'+len(c.joins)%26)) + strings.Repeat("x", len(c.joins)/26)
	c.joins = append(c.joins, join{alias, ref, target, acl.Where(c.actor, acl.Read, alias, c.args.add)})
	return alias
}

// permits refuses a field that the actor may not use like this. Wire: skygear §3.6.
func (c *compiler) permits(col *schema.Column) error {
	if acl.AllowsField(col.Rules, c.actor, c.use, nil) {
		return nil
	}
	return fault.New(fault.QueryDenied, "records.query_denied", "you may not search, sort or include by the field %q", col.Name)
}

// column finds a column of a table by its name in key paths.
func (c *compiler) column(t *schema.Type, alias, name string) (operand, error) {
	switch name {
	case "_owner":
		name = "_owner_id"
		fallthrough
	case "_id", "_owner_id", "_database_id", "_created_by", "_updated_by":
		return operand{sql: alias + "." + name, kind: schema.String, underlying: "text"}, nil
	case "_created_at", "_updated_at":
		return operand{sql: alias + "." + name, kind: schema.Datetime, underlying: "timestamp"}, nil
	case "_access":
		return operand{sql: alias + "." + name, kind: isAccess}, nil
	}
	col := t.Column(name)
	if col == nil {
		return operand{}, unknownField("record type %s has no field %q", t.Name, clip(name))
	}
	return operand{sql: alias + "." + col.SQL, kind: col.Kind, underlying: col.Underlying, column: col}, c.permits(col)
}

// function reads ["func", "distance", key path, geo].
func (c *compiler) function(v []any) (operand, error) {
	if len(v) < 2 || v[1] != "distance" {
		return operand{}, badPredicate("distance is the only function that gives a value")
	}
	if len(v) != 4 {
		return operand{}, badPredicate("distance takes a key path and a geo")
	}
	from, err := c.operand(v[2])
	if err != nil {
		return operand{}, err
	}
	to, err := c.operand(v[3])
	if err != nil {
		return operand{}, err
	}
	point, ok := to.literal.(Location)
	switch {
	case !ok || from.kind == isLiteral:
		return operand{}, badPredicate("distance takes a key path and a geo")
	case c.table == nil:
		return operand{kind: anything}, nil
	case c.snap.GeoPath == "":
		return operand{}, schema.NoPostGIS()
	case from.kind != schema.Location && from.kind != schema.Geometry:
		return operand{}, unknownField("distance needs a field of type location")
	}
	g := c.snap.GeoPath
	sql := g + "st_distancesphere(" + g + "st_setsrid(" + from.sql + ", 4326), " + g + "st_setsrid(" + g +
		"st_makepoint(" + c.args.add(point.Lng) + "::float8, " + c.args.add(point.Lat) + "::float8), 4326))"
	return operand{sql: sql, kind: schema.Number, underlying: "float8"}, nil
}
