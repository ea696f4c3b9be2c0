package adoption

import (
	"fmt"
	"slices"
	"strings"

	"crema/server/core/acl"
)

// Types of columns, as the catalogue calls them; all of a set serve.
const (
	texts     = "text varchar"
	names     = "citext text varchar"
	moments   = "timestamp"
	flags     = "bool"
	documents = "jsonb"
	counts    = "int8 int4"
	numbers   = "float8 int4 int8"
)

// column is one that the server works with.
type column struct {
	name  string
	types string
	add   string // how it is made where an older Skygear did not have it; "": it must be there
}

// table is one that the server works with. Where it is missing, a migration makes it.
type table struct {
	name    string
	keys    []string // columns of unique keys that the server relies on, each sorted and joined with spaces
	columns []column
}

// recordColumns are those of every record table. Wire: skygear §3.4.
var recordColumns = []column{
	{"_id", texts, ""},
	{"_database_id", texts, ""},
	{"_owner_id", texts, ""},
	{"_access", documents, ""},
	{"_created_at", moments, ""},
	{"_created_by", texts, ""},
	{"_updated_at", moments, ""},
	{"_updated_by", texts, ""},
}

// layout is what Skygear v1 made. Wire: skygear §3.4.
var layout = []table{
	{"_auth", []string{"id"}, []column{
		{"id", texts, ""},
		{"password", texts, ""},
		{"provider_info", documents, "jsonb"},
		{"token_valid_since", moments, "timestamp"},
		{"last_seen_at", moments, "timestamp"},
		{"disabled", flags, "boolean NOT NULL DEFAULT false"},
		{"disabled_message", texts, "text"},
		{"disabled_expiry", moments, "timestamp"},
	}},
	{"user", []string{"_id"}, append(slices.Clone(recordColumns),
		column{"username", names, "public.citext"},
		column{"email", names, "public.citext"},
		column{"last_login_at", moments, "timestamp"},
	)},
	{"_role", []string{"id"}, []column{
		{"id", texts, ""}, {"by_default", flags, "boolean NOT NULL DEFAULT false"}, {"is_admin", flags, "boolean NOT NULL DEFAULT false"},
	}},
	{"_auth_role", []string{"auth_id role_id"}, []column{{"auth_id", texts, ""}, {"role_id", texts, ""}}},
	{"_asset", []string{"id"}, []column{{"id", texts, ""}, {"content_type", texts, ""}, {"size", counts, ""}}},
	{"_device", []string{"id"}, []column{
		{"id", texts, ""},
		{"auth_id", texts, ""},
		{"type", texts, ""},
		{"token", texts, ""},
		{"topic", texts, "text"},
		{"last_registered_at", moments, ""},
	}},
	{"_subscription", []string{"auth_id device_id id"}, []column{
		{"id", texts, ""},
		{"auth_id", texts, ""},
		{"device_id", texts, ""},
		{"type", texts, ""},
		{"notification_info", documents, ""},
		{"query", documents, ""},
	}},
	{"_friend", []string{"left_id right_id"}, []column{{"left_id", texts, ""}, {"right_id", texts, ""}}},
	{"_follow", []string{"left_id right_id"}, []column{{"left_id", texts, ""}, {"right_id", texts, ""}}},
	{"_record_creation", nil, []column{{"record_type", texts, ""}, {"role_id", texts, ""}}},
	{"_record_default_access", []string{"record_type"}, []column{{"record_type", texts, ""}, {"default_access", documents, ""}}},
	{"_record_field_access", nil, []column{
		{"record_type", texts, ""},
		{"record_field", texts, ""},
		{"user_role", texts, ""},
		{"writable", flags, ""},
		{"readable", flags, ""},
		{"comparable", flags, ""},
		{"discoverable", flags, ""},
	}},
	{"_password_history", []string{"id"}, []column{{"id", texts, ""}, {"auth_id", texts, ""}, {"password", texts, ""}, {"logged_at", moments, ""}}},
	{"_sso_oauth", []string{"principal_id provider"}, []column{
		{"user_id", texts, ""},
		{"provider", texts, ""},
		{"principal_id", texts, ""},
		{"token_response", documents, ""},
		{"profile", documents, ""},
		{"_created_at", moments, ""},
		{"_updated_at", moments, ""},
	}},
	{"_sso_custom_token", []string{"principal_id"}, []column{{"user_id", texts, ""}, {"principal_id", texts, ""}, {"_created_at", moments, ""}}},
	{"_verify_code", nil, []column{{"auth_id", texts, ""}}},
	// A type of the app that ships here; the shops of old had one of this name too.
	{"payment_record", []string{"_id"}, append(slices.Clone(recordColumns),
		column{"receipt_email", names, "text"},
		column{"product", texts, "text"},
		column{"amount", numbers, "double precision"},
		column{"amount_minor", counts, "bigint"},
		column{"currency", texts, "text"},
		column{"charge_id", texts, "text UNIQUE"},
		column{"order_id", texts, "text"},
		column{"status", texts, "text"},
	)},
}

// viewColumns are those of the view that joins accounts with their records.
const viewColumns = "id password username email auth token_valid_since last_login_at last_seen_at"

// picture is what a schema holds.
type picture struct {
	tables map[string]*found
}

// found is one table of a schema.
type found struct {
	name    string
	view    bool
	columns []foundColumn // in their order
	keys    []string      // of unique indexes without a condition
	indexed []string      // columns that stand first in an index, with its kind: "btree _owner_id"
}

type foundColumn struct{ name, typ string }

func (f *found) column(name string) (foundColumn, bool) {
	i := slices.IndexFunc(f.columns, func(c foundColumn) bool { return c.name == name })
	if i < 0 {
		return foundColumn{}, false
	}
	return f.columns[i], true
}

// holdsRecords says whether the table was made for a record type.
func (f *found) holdsRecords() bool {
	if f.view || strings.HasPrefix(f.name, "_") {
		return false
	}
	_, id := f.column("_id")
	_, database := f.column("_database_id")
	return id && database
}

// missing is a column that has to be added.
type missing struct {
	table string
	column
}

// compare returns what has to be added and what stands against an adoption.
func (p picture) compare() (add []missing, differences []string) {
	known := map[string]bool{}
	for _, t := range layout {
		known[t.name] = true
		if f := p.tables[t.name]; f != nil {
			more, bad := f.compare(t)
			add, differences = append(add, more...), append(differences, bad...)
		}
	}
	for _, f := range p.sorted() {
		if !known[f.name] && f.holdsRecords() {
			_, bad := f.compare(table{f.name, []string{"_id"}, recordColumns})
			differences = append(differences, bad...)
		}
	}
	return add, differences
}

func (p picture) sorted() []*found {
	var list []*found
	for _, f := range p.tables {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *found) int { return strings.Compare(a.name, b.name) })
	return list
}

func (f *found) compare(t table) (add []missing, differences []string) {
	if f.view {
		return nil, []string{f.name + " is a view and should be a table"}
	}
	for _, c := range t.columns {
		have, ok := f.column(c.name)
		switch {
		case !ok && c.add == "":
			differences = append(differences, fmt.Sprintf("%s has no column %s", t.name, c.name))
		case !ok:
			add = append(add, missing{t.name, c})
		case !slices.Contains(strings.Fields(c.types), have.typ):
			differences = append(differences, fmt.Sprintf("%s.%s is of type %s and should be %s", t.name, c.name, have.typ, strings.ReplaceAll(c.types, " ", " or ")))
		}
	}
	for _, k := range t.keys {
		if !slices.Contains(f.keys, k) {
			differences = append(differences, fmt.Sprintf("%s has no unique key of its own on %s", t.name, strings.ReplaceAll(k, " ", " and ")))
		}
	}
	return add, differences
}

// wanted are the indexes that record tables of this server have from their first day.
var wanted = []index{{"btree _owner_id", "(_owner_id)"}, {"btree _created_at", "(_created_at)"}, {"", "USING gin (" + acl.Indexed("") + " jsonb_path_ops)"}}

// index is a definition, and the kind and column of one that does as well; "": none does.
type index struct{ kind, definition string }

// unindexed returns the indexes that f lacks. An index that somebody made for the same column does.
func (f *found) unindexed() []string {
	var list []string
	for _, w := range wanted {
		if !slices.Contains(f.indexed, w.kind) {
			list = append(list, w.definition)
		}
	}
	return list
}
