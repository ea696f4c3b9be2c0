package records

import (
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/schema"
)

var comparators = map[string]string{"eq": " = ", "neq": " <> ", "gt": " > ", "gte": " >= ", "lt": " < ", "lte": " <= "}

// order compares with =, <> and the like.
func (c *compiler) order(op string, l, r operand) (string, error) {
	if l.null() || r.null() {
		return c.nullTest(op, l, r)
	}
	if l.kind == isLiteral && r.kind == isLiteral {
		return c.constants(op, l, r)
	}
	side := l
	if l.kind == isLiteral {
		side = r
	}
	left, ok, err := c.as(l, side)
	if err != nil || !ok {
		return "false", err
	}
	right, ok, err := c.as(r, side)
	if err != nil || !ok {
		return "false", err
	}
	return "(" + left + comparators[op] + right + ")", nil
}

func (o operand) null() bool { return o.kind == isLiteral && o.literal == nil }

func (c *compiler) nullTest(op string, l, r operand) (string, error) {
	if l.null() {
		l = r
	}
	switch {
	case op != "eq" && op != "neq":
		return "", badPredicate("null can only be compared with eq and neq")
	case l.kind == isLiteral:
		return boolean(l.null() == (op == "eq")), nil
	case op == "eq":
		return "(" + l.sql + " IS NULL)", nil
	}
	return "(" + l.sql + " IS NOT NULL)", nil
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// constants compares two literals.
func (c *compiler) constants(op string, l, r operand) (string, error) {
	t, ok := typeOf(l.literal)
	if !ok || t.Kind == schema.Sequence {
		return "", notComparable()
	}
	side := operand{kind: t.Kind, underlying: schema.ArgType(t)}
	left, _, err := c.as(l, side)
	if err != nil {
		return "", err
	}
	right, ok, err := c.as(r, side)
	if err != nil || !ok {
		return "false", err
	}
	return "(" + left + "::" + side.underlying + comparators[op] + right + "::" + side.underlying + ")", nil
}

func notComparable() *fault.Error {
	return fault.New(fault.NotSupported, "records.not_comparable", "objects, arrays, locations and columns of unknown type cannot be compared like this")
}

// as returns the expression for o where it is compared with side. ok is false when such a comparison
// never holds: text with a number. Wire: skygear B16.
func (c *compiler) as(o, side operand) (sql string, ok bool, err error) {
	if o.kind != isLiteral {
		return c.columnAs(o, side)
	}
	switch o.literal.(type) {
	case map[string]any, []any, JSON, Location, Geometry:
		return "", false, notComparable()
	}
	v, ok, err := literalFor(side, o.literal)
	if err != nil || !ok {
		return "", false, err
	}
	return c.args.add(v) + castFor(side), true, nil
}

// castFor names the type of an argument where the column would not decide it. Text stays open, so that
// citext compares its own way.
func castFor(side operand) string {
	switch side.kind {
	case schema.Number, schema.Integer, schema.Sequence:
		return "::float8"
	case schema.Boolean:
		return "::bool"
	case schema.Datetime:
		return "::timestamp"
	case schema.JSON:
		return "::jsonb"
	}
	return ""
}

func (c *compiler) columnAs(o, side operand) (string, bool, error) {
	a, b := family(o.kind), family(side.kind)
	switch {
	case a == "" || b == "":
		return "", false, notComparable()
	case a == b:
		return o.sql, true, nil
	case a == "text" && b == "number" || a == "number" && b == "text":
		return "", false, nil
	}
	return "", false, badPredicate("fields of type %s and %s cannot be compared", o.kind, side.kind)
}

// family groups the kinds that compare with each other; "" for those that do not compare.
func family(k schema.Kind) string {
	switch k {
	case schema.String, schema.Ref, schema.Asset:
		return "text"
	case schema.Number, schema.Integer, schema.Sequence:
		return "number"
	case schema.Boolean, schema.Datetime, schema.JSON:
		return string(k)
	}
	return ""
}

// literalFor returns the argument for a literal that is compared with side; ok is false when nothing
// can match.
func literalFor(side operand, v any) (arg any, ok bool, err error) {
	switch family(side.kind) {
	case "text":
		return textFor(v)
	case "number":
		switch v := v.(type) {
		case float64:
			return v, true, nil
		case string:
			return nil, false, nil
		}
	case string(schema.Boolean):
		if b, ok := v.(bool); ok {
			return b, true, nil
		}
	case string(schema.Datetime):
		return momentFor(v)
	case string(schema.JSON):
		switch v.(type) {
		case string, float64, bool:
			return string(appendValue(nil, v)), true, nil
		}
	default:
		return nil, false, notComparable()
	}
	return nil, false, badPredicate("a field of type %s cannot be compared with this value", side.kind)
}

func textFor(v any) (any, bool, error) {
	switch v := v.(type) {
	case string:
		return v, true, checkText("predicate", v)
	case float64:
		return nil, false, nil
	case Reference:
		return v.Key, true, checkText("predicate", v.Key)
	case Asset:
		return v.Name, true, checkText("predicate", v.Name)
	}
	return nil, false, badPredicate("a text field cannot be compared with this value")
}

// momentFor takes a date and, as PostgreSQL always did, its text.
func momentFor(v any) (any, bool, error) {
	switch v := v.(type) {
	case time.Time:
		return timestamp(v), true, nil
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return timestamp(t), true, nil
		}
	}
	return nil, false, badPredicate("a date field cannot be compared with this value; send {\"$type\":\"date\",\"$date\":\"2024-05-01T10:00:00Z\"}")
}

// pattern compares with LIKE and ILIKE.
func (c *compiler) pattern(op string, l, r operand) (string, error) {
	side := operand{kind: schema.String}
	left, ok, err := c.as(l, side)
	if err != nil || !ok {
		return "false", err
	}
	right, ok, err := c.as(r, side)
	if err != nil || !ok {
		return "false", err
	}
	if l.kind == isLiteral && r.kind == isLiteral {
		left += "::text"
	}
	return "(" + left + " " + strings.ToUpper(op) + " " + right + ")", nil
}

// membership is "in" with its three meanings. Wire: skygear T36.
func (c *compiler) membership(l, r operand) (string, error) {
	list, isList := r.literal.([]any)
	text, isText := l.literal.(string)
	switch {
	case c.geometric(l) && c.geometric(r):
		return c.contains(r, l)
	case l.kind != isLiteral && isList:
		return c.oneOf(l, list)
	case isText && r.kind == schema.JSON:
		if err := checkText("predicate", text); err != nil {
			return "", err
		}
		return "coalesce(jsonb_exists(" + r.sql + ", " + c.args.add(text) + "::text), false)", nil
	}
	return "", fault.New(fault.QueryInvalid, "records.bad_in", "\"in\" takes a field and an array, a text and a JSON field, or two geometries")
}

// oneOf says that a column equals an element of list. Elements that can never match are left out.
func (c *compiler) oneOf(l operand, list []any) (string, error) {
	if family(l.kind) == "" {
		return "", notComparable()
	}
	values := make([]string, 0, len(list))
	for _, element := range list {
		o, err := c.operand(element)
		if err != nil {
			return "", err
		}
		if o.kind != isLiteral {
			return "", badPredicate("the array of \"in\" holds literals only")
		}
		if o.literal == nil {
			continue
		}
		v, ok, err := literalFor(l, o.literal)
		if err != nil {
			return "", err
		}
		if ok {
			values = append(values, argumentText(v))
		}
	}
	if len(values) == 0 {
		return "false", nil
	}
	return "(" + l.sql + " = ANY(" + c.args.add(pg.Array(values)) + "::" + arrayType(l) + "[]))", nil
}

func argumentText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return boolean(v)
	}
	return string(appendValue(nil, v))
}

func arrayType(l operand) string {
	if family(l.kind) == "number" {
		return "float8"
	}
	if l.underlying == "citext" {
		return "public.citext"
	}
	return l.underlying
}

func (c *compiler) geometric(o operand) bool {
	switch o.literal.(type) {
	case Location, Geometry:
		return true
	}
	return o.kind == schema.Location || o.kind == schema.Geometry
}

// contains puts both sides into one reference system, which PostGIS asks for. Wire: skygear B19.
func (c *compiler) contains(outer, inner operand) (string, error) {
	if c.snap.GeoPath == "" {
		return "", schema.NoPostGIS()
	}
	g, a, b := c.snap.GeoPath, c.geometry(outer), c.geometry(inner)
	c.shapes = true
	// One stored ring that does not close would make the query fail for everybody.
	return "(CASE WHEN " + g + "st_isvalid(" + a + ") AND " + g + "st_isvalid(" + b + ") THEN " + g + "st_contains(" + a + ", " + b + ") ELSE false END)", nil
}

func (c *compiler) geometry(o operand) string {
	g := c.snap.GeoPath
	sql := o.sql
	switch v := o.literal.(type) {
	case Location:
		sql = g + "st_makepoint(" + c.args.add(v.Lng) + "::float8, " + c.args.add(v.Lat) + "::float8)"
	case Geometry:
		sql = g + "st_geomfromgeojson(" + c.args.add(string(v)) + "::text)"
	}
	return g + "st_setsrid(" + sql + ", 0)"
}
