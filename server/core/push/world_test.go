package push_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/push"
	"crema/server/core/records"
	"crema/server/core/schema"
)

// limit is how long a test waits for what must happen.
const limit = 30 * time.Second

// world is one app with one server that sends notices.
type world struct {
	t       testing.TB
	db      *pg.DB
	schema  *schema.Service
	records *records.Service
	push    *push.Service
	heard   *heard
	marks   int
	told    int // notices that were looked at
}

// heard is what was published, as "channel subscription".
type heard struct {
	mu    sync.Mutex
	all   []string
	seqs  []int64
	marks chan struct{} // the notices of the subscription "mark"
}

func newHeard() *heard { return &heard{marks: make(chan struct{}, 100)} }

func (h *heard) publish(_ context.Context, tx *pg.Tx, channel string, data json.RawMessage) error {
	tx.AfterCommit(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		var e struct {
			Seq int64  `json:"seq-num"`
			ID  string `json:"subscription-id"`
		}
		_ = json.Unmarshal(data, &e)
		if e.ID == "mark" {
			h.marks <- struct{}{}
			return
		}
		h.all, h.seqs = append(h.all, channel+" "+e.ID), append(h.seqs, e.Seq)
	})
	return nil
}

// newWorld makes an app; its notices are sent once start is called.
func newWorld(t testing.TB, db *pg.DB) *world {
	t.Helper()
	h := newHeard()
	w := newWorldPublishing(t, db, h.publish)
	w.heard = h
	return w
}

func newWorldPublishing(t testing.TB, db *pg.DB, publish push.Publish, change ...func(*push.Config)) *world {
	t.Helper()
	w := &world{t: t, db: db, schema: schema.New(db)}
	w.records = records.New(records.Config{DB: db, Schema: w.schema, DevMode: true})
	c := push.Config{DB: db, Records: w.records, Publish: publish, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	w.push = push.New(c)
	w.schema.OnCreate(w.push.Created)
	if err := w.schema.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.schema.Stop)
	return w
}

func (w *world) start() {
	w.t.Helper()
	if err := w.push.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.push.Stop)
}

func (w *world) as(user string, roles ...string) context.Context {
	return acl.WithActor(w.t.Context(), acl.Actor{UserID: user, Roles: roles, Key: acl.ClientKey})
}

func (w *world) exec(q string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(w.t.Context(), q, args...); err != nil {
		w.t.Fatal(err)
	}
}

// device makes an account with roles and a device, and returns the id of the device.
func (w *world) device(user string, roles ...string) string {
	w.t.Helper()
	w.exec("INSERT INTO app._auth (id) VALUES ($1) ON CONFLICT DO NOTHING", user)
	for _, r := range roles {
		w.exec("INSERT INTO app._role (id) VALUES ($1) ON CONFLICT DO NOTHING", r)
		w.exec("INSERT INTO app._auth_role (auth_id, role_id) VALUES ($1, $2)", user, r)
	}
	id, err := w.push.Register(w.as(user), push.Registration{Type: "ios"})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// subscribe saves a subscription for a user's device; query is without its braces.
func (w *world) subscribe(ctx context.Context, database, device, id, query string) {
	w.t.Helper()
	items, err := w.push.Subscribe(ctx, push.Target{Database: database, DeviceID: device},
		[]push.Subscription{{ID: id, Type: "query", Query: json.RawMessage("{" + query + "}")}})
	if err == nil && items[0].Err != nil {
		err = items[0].Err
	}
	if err != nil {
		w.t.Fatalf("%s: %v", id, err)
	}
}

// save saves one record given as JSON.
func (w *world) save(ctx context.Context, database, record string) {
	w.t.Helper()
	req, err := records.DecodeSave(records.Params{"records": json.RawMessage("[" + record + "]")})
	if err != nil {
		w.t.Fatal(err)
	}
	req.Database = database
	results, err := w.records.Save(ctx, req)
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	if err != nil {
		w.t.Fatalf("%s: %v", record, err)
	}
}

func (w *world) delete(ctx context.Context, id string) {
	w.t.Helper()
	results, err := w.records.Delete(ctx, records.IDsRequest{IDs: []string{id}})
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// hear makes a change that is told to a subscription of its own, and returns the notices that came before
// it and were not returned yet. Device ids are replaced by names.
func (w *world) hear(names map[string]string) []string {
	w.t.Helper()
	if w.marks++; w.marks == 1 {
		w.subscribe(w.as("zed"), "", w.device("zed"), "mark", `"record_type":"mark"`)
	}
	w.save(w.as("zed"), "", fmt.Sprintf(`{"_id":"mark/%d"}`, w.marks))
	select {
	case <-w.heard.marks:
	case <-time.After(limit):
		w.t.Fatal("the last notice did not come")
	}
	w.heard.mu.Lock()
	defer w.heard.mu.Unlock()
	got := []string{}
	for _, s := range w.heard.all[w.told:] {
		for id, name := range names {
			s = strings.ReplaceAll(s, "_sub_"+id, name)
		}
		got = append(got, s)
	}
	w.told = len(w.heard.all)
	slices.Sort(got)
	return got
}
