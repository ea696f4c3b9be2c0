package records_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/testkit"
)

func TestSave_AStaleServerCatchesUp(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a, b := appOn(t, db, true), appOn(t, db, true)
	a.do(u1, "save", `{"records":[{"_id":"note/1","t":"x"}]}`)
	a.want(b.do(u1, "fetch", `{"ids":["note/1"]}`), `…"t":"x"}`)
	a.do(u1, "save", `{"records":[{"_id":"note/2","fresh":"f"},{"_id":"fresh/1","t":"x"}]}`)
	a.want(b.do(u1, "query", `{"record_type":"fresh"}`), `[{"_id":"fresh/1",…"t":"x"}]`)
	a.do(u1, "save", `{"records":[{"_id":"note/3","newer":"f"}]}`)
	a.want(b.keys(u1, "note", `"predicate":["eq",{"$type":"keypath","$val":"newer"},"f"]`), "3")
	a.do(u1, "save", `{"records":[{"_id":"note/4","newest":"n"}]}`)
	a.want(b.do(u1, "save", `{"records":[{"_id":"note/4","t":"y"}]}`), `…"newest":"n","t":"y"}`)
	a.admin("ALTER TABLE app.note DROP COLUMN newest")
	a.want(b.do(u1, "save", `{"records":[{"_id":"note/4","t":"z"}]}`), `{"_id":"note/4",…,"t":"z"}`)
	if _, err := db.Exec(t.Context(), "ALTER TABLE app.note DROP COLUMN newer"); err != nil { // by hand, nobody is told
		t.Fatal(err)
	}
	a.want(b.do(u1, "fetch", `{"ids":["note/3"]}`), `{"_id":"note/3",…}`)
	a.want(b.do(u1, "query", `{"record_type":"note","limit":1,"predicate":["eq",{"$type":"keypath","$val":"_id"},"3"]}`), `[{"_id":"note/3",…}]`)
}

func TestSave_OneStatementForABatch(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	var entries []string
	for i := range 100 {
		extra := ""
		if i%3 == 0 {
			extra = `,"extra":1`
		}
		entries = append(entries, fmt.Sprintf(`{"_id":"note/%d","n":%d%s}`, i, i, extra))
	}
	for round := range 2 {
		body := `{"records":[` + strings.Join(entries, ",") + `]}`
		if got := a.do(u1, "save", body); strings.Contains(got, "error") {
			t.Fatal(got)
		}
		var n int
		if err := a.db.Get(t.Context(), &n, "SELECT count(DISTINCT (xmin::text, cmin::text)) FROM app.note"); err != nil || n != 1 {
			t.Errorf("round %d: %d statements, %v", round, n, err)
		}
	}
	a.want(a.keys(u1, "note", `"predicate":["eq",{"$type":"keypath","$val":"extra"},1],"limit":2,"sort":[[{"$type":"keypath","$val":"n"},"desc"]]`), "99 96")
}

func TestSave_TwoSaversOfTheSameNewRecord(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/0","n":1,"no":{"$type":"seq"}}]}`)
	for round := range 30 {
		var wg sync.WaitGroup
		for worker := range 6 {
			wg.Go(func() {
				var items []records.Item
				for i := range 10 {
					items = append(items, records.Item{Record: &records.Record{
						Type: "note", Key: fmt.Sprintf("%d-%d", round, (i*7+worker)%10),
						Fields: []records.Field{{Name: "n", Value: float64(worker)}},
					}})
				}
				results, err := a.svc.Save(acl.WithActor(context.Background(), u1), records.SaveRequest{Items: items, Atomic: worker%2 == 0})
				if err != nil {
					t.Error(err)
				}
				for _, r := range results {
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestSave_CreationIsDecidedWhileOthersDelete(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","n":1}]}`)
	a.admin("INSERT INTO app._role (id) VALUES ($1)", "writer")
	a.admin("INSERT INTO app._record_creation (record_type, role_id) VALUES ($1, 'writer')", "note")
	a.want(a.do(u2, "save", `{"records":[{"_id":"note/1","n":2}]}`), `…"n":2}`)
	answer := make(chan string, 1)
	err := a.db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM app.note"); err != nil {
			return err
		}
		go func() { answer <- a.do(u2, "save", `{"records":[{"_id":"note/1","n":3}]}`) }()
		for waiting := 0; waiting == 0; {
			if err := tx.Get(ctx, &waiting, "SELECT count(*) FROM pg_stat_activity, pg_sleep(0.002) WHERE datname = current_database() AND wait_event_type = 'Lock'"); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "SELECT pg_stat_clear_snapshot()"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.want(<-answer, `…"code":102,…`)
	a.want(a.keys(master, "note", ""), "")
}

func TestSave_SchemaRaceOfTwoServers(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	apps := []*app{appOn(t, db, true), appOn(t, db, true)}
	for round := range 8 {
		var wg sync.WaitGroup
		for i, a := range apps {
			wg.Go(func() {
				rec := &records.Record{
					Type: fmt.Sprint("type", round/2), Key: fmt.Sprint(round, "-", i),
					Fields: []records.Field{{Name: "same", Value: "x"}, {Name: fmt.Sprint("f", round, i), Value: 1.0}},
				}
				results, err := a.svc.Save(acl.WithActor(context.Background(), u1), records.SaveRequest{Items: []records.Item{{Record: rec}}})
				if err != nil || results[0].Err != nil {
					t.Error(err, results)
				}
			})
		}
		wg.Wait()
	}
}

func TestSave_LocationsWithoutPostGIS(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	plain := asPlainRole(t, db)
	a := appOn(t, plain, true)
	a.want(a.do(u1, "save", `{"records":[{"_id":"shop/1","at":{"$type":"geo","$lat":1,"$lng":2}}]}`), "error 111")
	a.want(a.do(u1, "save", `{"records":[{"_id":"shop/1","name":"x"}]}`), `…"name":"x"}`)
	a.want(a.do(u1, "query", `{"record_type":"shop","predicate":["lt",["func","distance",{"$type":"keypath","$val":"name"},{"$type":"geo","$lat":1,"$lng":2}],5]}`), "error 111")
}

func currentDatabase(t *testing.T, db *pg.DB) string {
	t.Helper()
	var name string
	if err := db.Get(t.Context(), &name, "SELECT current_database()"); err != nil {
		t.Fatal(err)
	}
	return name
}

func asPlainRole(t *testing.T, db *pg.DB) *pg.DB {
	t.Helper()
	name := "r" + currentDatabase(t, db)[1:]
	role := pg.Ident(name).SQL()
	if _, err := db.Exec(t.Context(), "CREATE ROLE "+role+"; GRANT ALL ON SCHEMA app_test TO "+role+"; GRANT ALL ON ALL TABLES IN SCHEMA app_test TO "+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(context.Background(), "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", name) // the driver makes it the session's role
	u.RawQuery = q.Encode()
	plain, err := pg.Open(t.Context(), pg.Config{URL: u.String(), Schema: testkit.Schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	return plain
}

func TestSave_DatabaseTroubleIsNoEntryError(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1"}]}`)
	ctx, cancel := context.WithCancel(acl.WithActor(t.Context(), u1))
	cancel()
	_, err := a.svc.Save(ctx, records.SaveRequest{Items: []records.Item{{Record: &records.Record{Type: "note", Key: "1"}}}})
	if !fault.HasCode(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

// What was planned with a column that is renamed or deleted meanwhile must end up in a column that is
// there, and the caller must not notice.
func TestSave_WhileFieldsAreRenamedAndDeleted(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	apps := []*app{appOn(t, db, true), appOn(t, db, true)}
	apps[0].do(u1, "save", `{"records":[{"_id":"note/0","a":"x","n":0},{"_id":"memo/0","a":"x"}]}`)
	const rounds = 60
	var wg sync.WaitGroup
	for i, a := range apps {
		wg.Go(func() {
			for n := range rounds {
				var value any = fmt.Sprint(n)
				rec := func(kind string) records.Item {
					return records.Item{Record: &records.Record{Type: kind, Key: fmt.Sprint(i, "-", n), Fields: []records.Field{{Name: "a", Value: value}, {Name: "n", Value: float64(n)}}}}
				}
				req := records.SaveRequest{Items: []records.Item{rec("note")}}
				if n%3 == 0 {
					req = records.SaveRequest{Items: []records.Item{rec("memo"), rec("note")}, Atomic: n%2 == 0}
				}
				results, err := a.svc.Save(acl.WithActor(context.Background(), u1), req)
				for fault.Is(err, "records.stale_schema") { // nobody changes a schema as often as this test; the caller is told
					results, err = a.svc.Save(acl.WithActor(context.Background(), u1), req)
				}
				for _, r := range results {
					if r.Err != nil {
						t.Errorf("entry: %v", r.Err)
					} else if r.Record.Get("a") != value || r.Record.Get("n") != float64(n) {
						t.Errorf("saved %v %v, got %v", value, n, r.Record.Fields)
					}
				}
				if err != nil {
					t.Errorf("request: %v", err)
				}
				limit := 3
				if _, err := a.svc.Query(acl.WithActor(context.Background(), u1), records.Query{Type: "note", Limit: &limit}); err != nil && !fault.Is(err, "records.stale_schema") {
					t.Errorf("query: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for n := range rounds {
			s := apps[n%2].own
			if _, err := s.Rename(context.Background(), "note", "a", fmt.Sprint("old", n)); err != nil && !fault.Is(err, "schema.no_field") {
				t.Errorf("rename: %v", err)
			}
			if _, err := s.Delete(context.Background(), "memo", "a"); err != nil && !fault.Is(err, "schema.no_field") {
				t.Errorf("delete: %v", err)
			}
		}
	})
	wg.Wait()
	// Every value is in the column that a was when it was saved.
	var lost int
	if err := db.Get(t.Context(), &lost, "SELECT count(*) FROM app.note t WHERE n > 0 AND (SELECT count(*) FROM jsonb_each_text(to_jsonb(t)) c WHERE (c.key = 'a' OR c.key LIKE 'old%') AND c.value = t.n::text) <> 1"); err != nil || lost != 0 {
		t.Errorf("%d values were lost, %v", lost, err)
	}
}
