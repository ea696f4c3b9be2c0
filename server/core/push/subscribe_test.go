package push_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"crema/server/base/fault"
	"crema/server/core/push"
	"crema/server/testkit"
)

// Servers that subscribe to one type together, while it is being made, agree on one trigger.
func TestSubscribe_Together(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	worlds := []*world{newWorld(t, db), newWorld(t, db), newWorld(t, db)}
	device := worlds[0].device("ann")
	worlds[0].save(worlds[0].as("ann"), "", `{"_id":"old/1"}`)
	var all sync.WaitGroup
	for i, w := range worlds {
		for _, typ := range []string{"old", "fresh"} {
			all.Go(func() { w.subscribe(w.as("ann"), "", device, fmt.Sprint(typ, i), `"record_type":"`+typ+`"`) })
		}
		all.Go(func() { w.save(w.as("ann"), "", fmt.Sprintf(`{"_id":"fresh/%d"}`, i)) })
	}
	all.Wait()
	var n int
	if err := db.Get(t.Context(), &n, "SELECT count(*) FROM pg_trigger WHERE tgname = $1", "_note_record_change"); err != nil || n != 2 {
		t.Errorf("%d triggers, %v", n, err)
	}
}

func TestSubscribe_IsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	one, two := w.device("ann"), w.device("ann")
	w.subscribe(w.as("ann"), "", one, "first", `"record_type":"note"`)
	w.exec("INSERT INTO app._subscription (id, auth_id, device_id, type, query) SELECT i::text, '', $1, 'query', '{}' FROM generate_series(1, 998) i", one)
	w.subscribe(w.as("ann"), "", two, "last", `"record_type":"note"`)
	items, err := w.push.Subscribe(w.as("ann"), push.Target{DeviceID: two}, []push.Subscription{
		{ID: "more", Type: "query", Query: json.RawMessage(`{"record_type":"note"}`)},
		{ID: "last", Type: "query", Query: json.RawMessage(`{"record_type":"note"}`)}, // it is there
		{ID: "last", Type: "query", Query: json.RawMessage(`{"record_type":"note","x":"` + strings.Repeat("x", 9000) + `"}`)},
	})
	if err != nil || !fault.Is(items[0].Err, "push.too_many") || items[1].Err != nil || !fault.Is(items[2].Err, "push.bad_subscription") {
		t.Errorf("got %+v, %v", items, err)
	}
}
