package records

import (
	flags "flag"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"crema/server/core/acl"
	"crema/server/core/schema"
	"crema/server/testkit"
)

// planRows is raised by hand to write the plans of docs/plans.md.
var planRows = flags.Int("rows", 20_000, "records in the table of TestQuery_ReadsByIndex")

// fillNotes makes $1 records, 20 of each owner. A role may read 20 others; nobody else may read anything.
const fillNotes = `INSERT INTO app.note (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, title)
	SELECT 'n' || g, '', 'owner-' || g % ($1 / 20), CASE g % ($1 / 20) WHEN 7 THEN '[{"level":"read","role":"editor"}]' ELSE '[]' END::jsonb,
		at, 'owner', at, 'owner', 'Kenya AA, lot ' || g
	FROM generate_series(1, $1::int) g, LATERAL (SELECT timestamp '2024-05-06 07:08:09' + g * interval '1 second' AS at) t`

// mostPages is how many pages a query for 20 records may touch, in a table of any size.
const mostPages = 80

// What apps ask for most reads about as many rows as it returns, however large the table: a record's owner, its
// access list and its time are indexed from the table's first day.
func TestQuery_ReadsByIndex(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	svc := New(Config{DB: db, Schema: schema.New(db), DevMode: true})
	reader := acl.Actor{UserID: "owner-5", Key: acl.ClientKey, Roles: []string{"editor"}}
	ctx := acl.WithActor(t.Context(), reader)
	if _, err := svc.Save(ctx, SaveRequest{Items: []Item{{Record: &Record{Type: "note", Key: "first", Fields: []Field{{"title", "first"}}}}}}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		text string
		args []any
	}{{"TRUNCATE app.note", nil}, {fillNotes, []any{*planRows}}, {"VACUUM ANALYZE app.note", nil}} {
		if _, err := db.Exec(ctx, q.text, q.args...); err != nil {
			t.Fatal(err)
		}
	}
	newest := []any{[]any{map[string]any{"$type": "keypath", "$val": "_created_at"}, "desc"}}
	mine := []any{"eq", map[string]any{"$type": "keypath", "$val": "_owner"}, "owner-5"}
	limit := func(n int) *int { return &n }
	for _, c := range []struct {
		name  string
		query Query
	}{
		{"the newest of one owner", Query{Where: mine, Sort: newest, Limit: limit(20)}},
		{"what the reader may see", Query{Limit: limit(20)}},
		{"the newest of what the reader may see", Query{Sort: newest, Limit: limit(20)}},
		{"a page of the newest, under the master key", Query{Sort: newest, Limit: limit(20)}},
	} {
		who := reader
		if strings.Contains(c.name, "master") {
			who = acl.Actor{Key: acl.MasterKey}
		}
		c.query.Type = "note"
		plan := explained(t, svc, who, c.query)
		t.Logf("%s\n%s", c.name, plan)
		if strings.Contains(plan, "Seq Scan on note") || !strings.Contains(plan, "Index") {
			t.Errorf("%s reads the whole table:\n%s", c.name, plan)
		}
		if pages := buffers(t, plan); pages > mostPages {
			t.Errorf("%s touches %d pages, at most %d are needed:\n%s", c.name, pages, mostPages, plan)
		}
	}
}

// A query without a predicate is planned for its reader each time: after some runs PostgreSQL would take a plan for
// the average one, and read a whole table for somebody who may see a few records.
func TestQuery_WithoutPredicateIsPlannedForItsReader(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	svc := New(Config{DB: db, Schema: schema.New(db), DevMode: true})
	ctx := acl.WithActor(t.Context(), acl.Actor{UserID: "owner-5", Key: acl.ClientKey})
	if _, err := svc.Save(ctx, SaveRequest{Items: []Item{{Record: &Record{Type: "note", Key: "first", Fields: []Field{{"title", "first"}}}}}}); err != nil {
		t.Fatal(err)
	}
	title := []any{"eq", map[string]any{"$type": "keypath", "$val": "title"}, "first"}
	for where, want := range map[string]bool{"none": false, "title": true} {
		q := Query{Type: "note"}
		if where == "title" {
			q.Where = title
		}
		for range 8 {
			if page, err := svc.Query(ctx, q); err != nil || len(page.Records) != 1 {
				t.Fatal(page, err)
			}
		}
		var n int
		if err := db.Get(ctx, &n, `SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT t._id,%"note" t %' AND (statement LIKE '%t."title" =%') = $1`, where == "title"); err != nil {
			t.Fatal(err)
		}
		if (n > 0) != want {
			t.Errorf("predicate %s: %d prepared statements", where, n)
		}
	}
}

// explained is what PostgreSQL does for a query of the actor.
func explained(t *testing.T, svc *Service, who acl.Actor, q Query) string {
	t.Helper()
	snap, err := svc.schema.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sc, err := scopeOf(who, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := svc.plan(t.Context(), snap, sc, q)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	if err := svc.db.Select(t.Context(), &lines, "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) "+p.pageText(), p.args...); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// buffers is how many pages the whole plan touches: the first line about them counts all below it.
func buffers(t *testing.T, plan string) int {
	t.Helper()
	line := regexp.MustCompile(`Buffers: shared (?:hit=(\d+))?(?: ?read=(\d+))?`).FindStringSubmatch(plan)
	if line == nil {
		t.Fatalf("no pages in\n%s", plan)
	}
	hit, _ := strconv.Atoi(line[1])
	read, _ := strconv.Atoi(line[2])
	return hit + read
}
