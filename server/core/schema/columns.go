package schema

import "strings"

// MetaColumns are the reserved columns in the order in which records are read.
var MetaColumns = [...]string{
	"_id", "_database_id", "_owner_id", "_access", "_created_at", "_created_by", "_updated_at", "_updated_by",
}

// ReadList returns the expressions that read the reserved columns and then columns of the row t.
func ReadList(columns []Column) string {
	var b strings.Builder
	for i, name := range MetaColumns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("t." + name)
	}
	for i := range columns {
		b.WriteString(", ")
		b.WriteString(columns[i].Read)
	}
	return b.String()
}

// readUpdated reads like ReadList, but only what an UPDATE left: whoever inserted a row knows it, and
// writing it out costs as much as two indexes. A row that was just inserted has no xmax.
func readUpdated(columns []Column) string {
	var b strings.Builder
	b.WriteString("t._id")
	for _, name := range MetaColumns[1:] {
		b.WriteString(", CASE WHEN t.xmax <> 0 THEN t." + name + " END")
	}
	for i := range columns {
		b.WriteString(", CASE WHEN t.xmax <> 0 THEN " + columns[i].Read + " END")
	}
	return b.String()
}

// ArgType is how an argument for a column of type t is passed.
func ArgType(t FieldType) string {
	switch t.Kind {
	case Number:
		return "float8"
	case Integer, Sequence:
		return t.Underlying
	case Boolean:
		return "bool"
	case Datetime:
		return "timestamp"
	case JSON:
		return "jsonb"
	}
	return "text"
}

// Stored turns the argument e, which has the column's ArgType, into what the column holds. Locations
// come as WKT, geometries as GeoJSON.
func (c *Column) Stored(e string) string {
	switch c.Kind {
	case Location:
		return c.geo + "st_geomfromtext(" + e + ")"
	case Geometry:
		return c.geo + "st_setsrid(" + c.geo + "st_geomfromgeojson(" + e + "), 0)"
	}
	return e
}

// complete fills in how the column is read and written.
func (c *Column) complete(geo string) {
	c.geo, c.ArgType = geo, ArgType(c.FieldType)
	name := "t." + c.SQL
	switch c.Kind {
	case Location:
		c.Read = geo + "st_y(" + name + ")::text || ' ' || " + geo + "st_x(" + name + ")::text"
	case Geometry:
		c.Read = geo + "st_asgeojson(" + name + ", 15)"
	case Unknown:
		c.Read = "(CASE WHEN " + name + " IS NOT NULL THEN true END)"
	default:
		c.Read = name
	}
}
