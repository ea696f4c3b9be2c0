package acl

import (
	"encoding/json"
	"slices"

	"crema/server/base/pg"
)

// Allows says whether actor may do level with a record. Wire: skygear §3.6.
func Allows(actor Actor, level Level, s Subject) bool {
	switch {
	case actor.Master():
		return true
	case s.Database != "" && s.Database != actor.UserID:
		return false
	case s.Access == nil:
		return level == Read || actor.UserID != ""
	case actor.UserID != "" && actor.UserID == s.Owner:
		return true
	}
	return slices.ContainsFunc(s.Access, func(e Entry) bool {
		return (level == Read || e.Level == level) && e.matches(actor)
	})
}

func (e Entry) matches(a Actor) bool {
	return e.Public || e.UserID != "" && e.UserID == a.UserID || e.Role != "" && slices.Contains(a.Roles, e.Role)
}

// Where returns the verdict of Allows as an SQL condition on the row called alias. arg takes a value
// and returns its placeholder. The text depends only on the kind of actor, not on ids or roles, so
// that prepared statements are shared.
func Where(actor Actor, level Level, alias string, arg func(any) string) string {
	if actor.Master() {
		return "true"
	}
	database := alias + "._database_id = ''"
	if actor.UserID != "" {
		database = alias + "._database_id IN ('', " + arg(actor.UserID) + "::text)"
	}
	return "(" + database + " AND " + Granted(actor, level, alias, arg) + ")"
}

// Granted is what Where asks about owner and access list, for rows that are in the public database for sure.
func Granted(actor Actor, level Level, alias string, arg func(any) string) string {
	if actor.Master() {
		return "true"
	}
	granted := " @> ANY(" + arg(pg.Array(grants(actor, level))) + "::jsonb[])"
	switch {
	case actor.UserID != "":
		return "(" + alias + "._owner_id = " + arg(actor.UserID) + "::text OR " + Indexed(alias+".") + granted + ")"
	case level == Write: // without a list only users write
		return "coalesce(" + alias + "._access" + granted + ", false)"
	}
	return Indexed(alias+".") + granted
}

// Indexed is the expression that tables of records have an index on, for a column behind the prefix: the access
// list, and where there is none the one that means the same. With an index on the column alone PostgreSQL would
// have to look at every row for those without a list.
func Indexed(prefix string) string {
	return `coalesce(` + prefix + `_access, '[{"level":"write","public":true}]'::jsonb)`
}

// grants lists the entries, as JSON, of which one must be contained in a list to let the actor pass.
func grants(a Actor, level Level) []string {
	end := "}]"
	if level == Write {
		end = `,"level":"write"}]`
	}
	list := make([]string, 0, 2+len(a.Roles))
	list = append(list, `[{"public":true`+end)
	if a.UserID != "" {
		list = append(list, `[{"user_id":`+quote(a.UserID)+end)
	}
	for _, r := range a.Roles {
		if r != "" {
			list = append(list, `[{"role":`+quote(r)+end)
		}
	}
	return list
}

func quote(s string) string { return string(AppendString(nil, s)) }

// FromColumn reads what column _access holds; nil bytes are SQL NULL. Rows that others wrote may hold
// anything: what is not an entry grants nothing, and a value that is no list leaves the owner only.
func FromColumn(raw []byte) Access {
	if raw == nil {
		return nil
	}
	if access, ok := scan(raw); ok {
		return access
	}
	var entries []map[string]any
	if json.Unmarshal(raw, &entries) != nil {
		return looseEntries(raw)
	}
	access := make(Access, 0, len(entries))
	for _, m := range entries {
		access = append(access, looseEntry(m))
	}
	return access
}

func looseEntries(raw []byte) Access {
	var values []any
	_ = json.Unmarshal(raw, &values) // anything but an array leaves it empty
	access := Access{}
	for _, v := range values {
		if m, ok := v.(map[string]any); ok {
			access = append(access, looseEntry(m))
		}
	}
	return access
}

func looseEntry(m map[string]any) Entry {
	text := func(key string) string { s, _ := m[key].(string); return s }
	public, _ := m["public"].(bool)
	return Entry{Level: Level(text("level")), Public: public, Role: text("role"), UserID: text("user_id"), Relation: text("relation")}
}
