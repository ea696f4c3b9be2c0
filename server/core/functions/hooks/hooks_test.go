package hooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/functions"
	"crema/server/core/functions/hooks"
	"crema/server/core/records"
	"crema/server/core/schema"
	"crema/server/lambda"
	"crema/server/testkit"
)

// world is a records room with hooks around it.
type world struct {
	records *records.Service
	schema  *schema.Service
	hooks   *hooks.Service
	mu      sync.Mutex
	heard   []string // what hooks have seen
}

func newWorld(t *testing.T, fns func(w *world) []lambda.Function) *world {
	t.Helper()
	db := testkit.DB(t)
	sc := schema.New(db)
	if err := sc.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sc.Stop)
	w := &world{schema: sc, hooks: hooks.New(slog.New(slog.DiscardHandler))}
	w.records = records.New(records.Config{DB: db, Schema: sc, DevMode: true, Hooks: w.hooks})
	service, err := functions.New(functions.Config{
		Log: slog.New(slog.DiscardHandler), Records: func(a acl.Actor) lambda.Records { return records.ForFunctions(w.records, a) },
	}, fns(w)...)
	if err != nil {
		t.Fatal(err)
	}
	w.hooks.Connect(w.records, service.RunHook, service.Hooks)
	return w
}

func (w *world) hear(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, fmt.Sprintf(format, args...))
}

// said returns what hooks have seen since the last time.
func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.heard, "; ")
	w.heard = nil
	return text
}

func as(t *testing.T, user string) context.Context {
	return acl.WithActor(t.Context(), acl.Actor{UserID: user, Key: acl.ClientKey})
}

func item(id, text string) records.Item {
	r, err := records.DecodeRecord([]byte(`{"_id":"` + id + `",` + text + `}`))
	return records.Item{ID: id, Record: r, Err: fault.From(err)}
}

func (w *world) save(t *testing.T, user string, atomic bool, items ...records.Item) ([]records.Result, error) {
	t.Helper()
	return w.records.Save(as(t, user), records.SaveRequest{Items: items, Atomic: atomic})
}

func describe(results []records.Result, err error) string {
	var parts []string
	for _, r := range results {
		switch {
		case r.Err != nil:
			parts = append(parts, r.Err.Reason+" "+r.Err.Message)
		case r.Record != nil:
			parts = append(parts, string(records.AppendJSON(nil, &records.Record{Type: r.Record.Type, Key: r.Record.Key, Access: r.Record.Access, Fields: r.Record.Fields})))
		default:
			parts = append(parts, r.ID+" gone")
		}
	}
	if err != nil {
		parts = append(parts, fault.From(err).Reason)
	}
	return strings.Join(parts, "; ")
}

// beans are hooks that watch the type bean.
func beans(w *world) []lambda.Function {
	return []lambda.Function{
		lambda.BeforeSave("bean", "shout", func(_ context.Context, c *lambda.Call, r, original *lambda.Record) error {
			was := "new"
			if original != nil {
				was = fmt.Sprint(original.Fields["name"])
			}
			w.hear("before %s by %s was %s owner %s", r.Fields["name"], c.Actor.UserID, was, r.Owner)
			if r.Fields["name"] == "stone" {
				return &lambda.Error{Kind: lambda.Denied, Message: "no beans of stone"}
			}
			r.Fields["name"] = strings.ToUpper(fmt.Sprint(r.Fields["name"]))
			r.Owner = "somebody else"
			delete(r.Fields, "secret")
			if r.Fields["public"] == true {
				r.Access = []lambda.AccessEntry{{Level: "read", Public: true}}
			}
			return nil
		}),
		lambda.BeforeSave("bean", "count", func(_ context.Context, _ *lambda.Call, r, _ *lambda.Record) error {
			r.Fields["length"] = float64(len(fmt.Sprint(r.Fields["name"])))
			return nil
		}),
		lambda.AfterSave("bean", "told", func(_ context.Context, _ *lambda.Call, r, _ *lambda.Record) error {
			w.hear("after %s", r.Fields["name"])
			if r.Fields["name"] == "LATE" {
				return &lambda.Error{Kind: lambda.Invalid, Message: "too late"}
			}
			return nil
		}),
		lambda.AfterSave("bean", "aside", func(context.Context, *lambda.Call, *lambda.Record, *lambda.Record) error {
			w.hear("aside")
			return &lambda.Error{Kind: lambda.Invalid, Message: "nobody hears this"}
		}, lambda.Async()),
		lambda.BeforeDelete("bean", "keep", func(_ context.Context, _ *lambda.Call, r *lambda.Record) error {
			w.hear("before delete %s", r.Fields["name"])
			if r.Fields["name"] == "KENYA" {
				return &lambda.Error{Kind: lambda.Denied, Message: "Kenya stays"}
			}
			return nil
		}),
		lambda.AfterDelete("bean", "mourn", func(_ context.Context, _ *lambda.Call, r *lambda.Record) error {
			w.hear("after delete %s", r.Fields["name"])
			return nil
		}),
	}
}

func TestHooks_AroundSaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beans)
	expect := func(what, got, want, heard string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		w.hooks.Wait(ctx)
		said := strings.Split(w.said(), "; ")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if diff := cmp.Diff(sorted(strings.Split(heard, "; ")), sorted(said)); diff != "" {
			t.Errorf("%s, hooks saw: %s", what, diff)
		}
	}
	expect("a new record", describe(w.save(t, "ann", false, item("bean/1", `"name":"kenya","secret":1,"public":true`))),
		`{"_id":"bean/1","_type":"record","_access":[{"level":"read","public":true}],"length":5,"name":"KENYA","public":true}`,
		"before kenya by ann was new owner ann; after KENYA; aside")
	expect("one that is there", describe(w.save(t, "ann", false, item("bean/1", `"grams":250`))),
		`{"_id":"bean/1","_type":"record","_access":[{"level":"read","public":true}],"grams":250,"length":5,"name":"KENYA","public":true}`,
		"before KENYA by ann was KENYA owner ann; after KENYA; aside")
	expect("somebody else's", describe(w.save(t, "bob", false, item("bean/1", `"grams":1`))), "records.denied you may not do this with bean/1", "")
	expect("a refusal", describe(w.save(t, "ann", false, item("bean/2", `"name":"stone"`), item("bean/3", `"name":"peru"`), item("cup/1", `"a":1`))),
		`functions.denied no beans of stone; {"_id":"bean/3","_type":"record","_access":null,"length":4,"name":"PERU"}; {"_id":"cup/1","_type":"record","_access":null,"a":1}`,
		"before stone by ann was new owner ann; before peru by ann was new owner ann; after PERU; aside")
	expect("a refusal of all", describe(w.save(t, "ann", true, item("bean/4", `"name":"brazil"`), item("bean/5", `"name":"stone"`))),
		"records.atomic", "before brazil by ann was new owner ann; before stone by ann was new owner ann")
	expect("an error afterwards", describe(w.save(t, "ann", false, item("bean/6", `"name":"late"`))), "functions.invalid too late",
		"before late by ann was new owner ann; after LATE") // the first error ends the hooks
	if _, err := w.records.Fetch(as(t, "ann"), records.IDsRequest{IDs: []string{"bean/6"}}); err != nil {
		t.Errorf("the record is not stored: %v", err)
	}
	expect("no hooks here", describe(w.save(t, "ann", false, item("cup/2", `"a":1`))), `{"_id":"cup/2","_type":"record","_access":null,"a":1}`, "")
}

// Rules bind the caller: hooks do not see what may not be written, and what they write themselves is written. After the
// save they see what the caller may not read.
func TestHooks_RulesBindTheCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) []lambda.Function {
		return []lambda.Function{
			lambda.BeforeSave("order", "total", func(_ context.Context, _ *lambda.Call, r, _ *lambda.Record) error {
				w.hear("before %v %v", r.Fields["price"], r.Fields["total"])
				r.Fields["total"] = r.Fields["bags"].(float64) * 1000
				if price, ok := r.Fields["price"].(float64); ok {
					r.Fields["price"] = price + 1
				}
				return nil
			}),
			lambda.AfterSave("order", "told", func(_ context.Context, _ *lambda.Call, r, _ *lambda.Record) error {
				w.hear("after %v", r.Fields["total"])
				return nil
			}),
		}
	})
	master := acl.WithActor(t.Context(), acl.Actor{UserID: "ann", Key: acl.MasterKey})
	if _, err := w.records.Save(master, records.SaveRequest{Items: []records.Item{item("order/1", `"bags":1,"price":5,"total":1`)}}); err != nil {
		t.Fatal(err)
	}
	w.said()
	if err := w.schema.SetCreationRoles(t.Context(), "order", []string{"clerk"}); err != nil {
		t.Fatal(err)
	}
	if got := describe(w.save(t, "ann", false, item("order/2", `"bags":2`))); !strings.HasPrefix(got, "records.create_denied") || w.said() != "" {
		t.Errorf("who may not create: %s", got)
	}
	closed := acl.FieldRule{Viewer: "_any_user"}
	if _, err := w.schema.SetFieldRules(t.Context(), []schema.FieldRule{{Type: "order", Field: "price", FieldRule: closed}, {Type: "order", Field: "total", FieldRule: closed}}); err != nil {
		t.Fatal(err)
	}
	got := describe(w.save(t, "ann", false, item("order/1", `"bags":2,"price":0,"total":0`)))
	if want := `{"_id":"order/1","_type":"record","_access":null,"bags":2}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := w.said(), "before 6 1000; after 2000"; got != want { // the price is what is stored
		t.Errorf("hooks saw %s, want %s", got, want)
	}
	if got := describe(w.save(t, "ann", true, item("order/1", `"bags":3,"price":0`))); got != "records.atomic" || w.said() != "" {
		t.Errorf("all or none: %s", got)
	}
	if got, want := describe(w.records.Fetch(master, records.IDsRequest{IDs: []string{"order/1"}})), `{"_id":"order/1","_type":"record","_access":null,"bags":2,"price":7,"total":2000}`; got != want {
		t.Errorf("stored: %s, want %s", got, want)
	}
}

// An atomic request that is done stays done and says so. Wire: skygear §3.8, T16.
func TestHooks_AnErrorAfterAnAtomicRequestIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beans)
	if got := describe(w.save(t, "ann", true, item("bean/1", `"name":"late"`))); !strings.HasPrefix(got, `{"_id":"bean/1"`) {
		t.Errorf("got %s", got)
	}
	if got := describe(w.records.Fetch(as(t, "ann"), records.IDsRequest{IDs: []string{"bean/1"}})); !strings.Contains(got, "LATE") {
		t.Errorf("stored: %s", got)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func TestHooks_AroundDeletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beans)
	if _, err := w.save(t, "ann", true, item("bean/1", `"name":"kenya","_access":[]`), item("bean/2", `"name":"peru"`), item("cup/1", `"a":1`)); err != nil {
		t.Fatal(err)
	}
	w.hooks.Wait(t.Context())
	w.said()
	remove := func(user string, atomic bool, ids ...string) string {
		return describe(w.records.Delete(as(t, user), records.IDsRequest{IDs: ids, Atomic: atomic}))
	}
	for _, c := range []struct{ what, got, want, heard string }{
		{"all or none", remove("ann", true, "bean/2", "bean/1"), "records.atomic", "before delete KENYA; before delete PERU"},
		{"not allowed", remove("bob", false, "bean/1"), "records.denied you may not do this with bean/1", ""},
		{
			"each by itself", remove("ann", false, "bean/1", "cup/1", "bean/2", "bean/none"),
			"functions.denied Kenya stays; cup/1 gone; bean/2 gone; records.not_found there is no record bean/none", "before delete KENYA; before delete PERU; after delete PERU",
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
	if got, want := w.said(), "before delete KENYA; before delete PERU; before delete KENYA; before delete PERU; after delete PERU"; got != want {
		t.Errorf("hooks saw %s, want %s", got, want)
	}
}

func TestHooks_ACircleEnds(t *testing.T) {
	t.Parallel()
	again := func(ctx context.Context, c *lambda.Call, r, _ *lambda.Record) error {
		_, err := c.Records.Save(ctx, lambda.Record{ID: r.ID + "x", Fields: map[string]any{"n": 1.0}})
		return err
	}
	w := newWorld(t, func(*world) []lambda.Function {
		return []lambda.Function{lambda.BeforeSave("echo", "before", again), lambda.AfterSave("ring", "after", again)}
	})
	results, err := w.save(t, "ann", false, item("echo/1", `"n":1`))
	if err != nil || len(results) != 1 || results[0].Err == nil || !strings.Contains(results[0].Err.Error(), "8 levels") {
		t.Errorf("hooks that call each other: %s", describe(results, err))
	}
	if got := describe(w.save(t, "ann", false, item("ring/1", `"n":1`))); !strings.HasPrefix(got, `{"_id":"ring/1"`) {
		t.Errorf("after the save: %s", got)
	}
	found, err := w.records.Query(as(t, "ann"), records.Query{Type: "ring"})
	if err != nil || len(found.Records) != 9 {
		t.Errorf("%d records, %v", len(found.Records), err)
	}
}

// TestHooks_ABurstLosesNone saves more at once than workers take: who is refused because they are busy has not begun.
func TestHooks_ABurstLosesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(*world) []lambda.Function { return nil })
	var mu sync.Mutex
	tries, running, most, done := map[string]int{}, 0, 0, 0
	run := func(_ context.Context, _ string, args json.RawMessage) (json.RawMessage, error) {
		mu.Lock()
		defer mu.Unlock()
		if tries[string(args)]++; tries[string(args)] < 3 {
			busy := fault.New(fault.RateLimited, "workers.busy", "try again")
			busy.RetryAfter = time.Millisecond
			return nil, busy
		}
		running++
		most = max(most, running)
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		running--
		done++
		return json.RawMessage("null"), nil
	}
	late := []hooks.Hook{{Name: "late", Hook: lambda.Hook{Type: "bean", Trigger: lambda.OnAfterSave, Async: true}}}
	w.hooks.Connect(w.records, run, func() []hooks.Hook { return late })
	var items []records.Item
	for i := range 200 {
		items = append(items, item(fmt.Sprintf("bean/%d", i), `"n":1`))
	}
	if _, err := w.save(t, "ann", false, items...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	w.hooks.Wait(ctx)
	mu.Lock()
	defer mu.Unlock()
	if done != 200 || most > 4 {
		t.Errorf("%d of 200 hooks ran, up to %d at once", done, most)
	}
}
