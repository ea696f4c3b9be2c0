package push_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// Skygear stored queries in a form of its own.
func TestStart_UnderstandsOldSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	ann := w.device("ann")
	w.save(w.as("ann"), "", `{"_id":"cat/fruit"}`)
	w.save(w.as("ann"), "", `{"_id":"note/0","title":"","n":0,"cat":{"$type":"ref","$id":"cat/fruit"}}`)
	rest := `,"Sorts":null,"ComputedKeys":null,"DesiredKeys":null,"Limit":null,"Offset":0}`
	for id, query := range map[string]string{
		"all":     `{"Type":"note","Predicate":{"Operator":0,"Children":null}` + rest,
		"and":     `{"Type":"note","Predicate":{"Operator":1,"Children":[{"Operator":4,"Children":[{"Type":2,"Value":"title"},{"Type":1,"Value":"x"}]},{"Operator":12,"Children":[{"Type":2,"Value":"n"},{"Type":1,"Value":[1,2]}]}]}` + rest,
		"not":     `{"Type":"note","Predicate":{"Operator":3,"Children":[{"Operator":9,"Children":[{"Type":2,"Value":"title"},{"Type":1,"Value":"x"}]}]}` + rest,
		"ref":     `{"Type":"note","Predicate":{"Operator":4,"Children":[{"Type":2,"Value":"cat"},{"Type":1,"Value":{"ID":"cat/fruit"}}]}` + rest,
		"other":   `{"Type":"note","Predicate":{"Operator":4,"Children":[{"Type":2,"Value":"title"},{"Type":1,"Value":"y"}]}` + rest,
		"unknown": `{"Type":"note","Predicate":{"Operator":13,"Children":[{"Type":3,"Value":{}}]}` + rest,
	} {
		w.exec("INSERT INTO app._subscription (id, auth_id, device_id, type, query) VALUES ($1, '', $2, 'query', $3)", id, ann, query)
	}
	w.start()
	w.save(w.as("ann"), "", `{"_id":"note/1","title":"x","n":1,"cat":{"$type":"ref","$id":"cat/fruit"}}`)
	if diff := cmp.Diff([]string{"ann all", "ann and", "ann not", "ann ref"}, w.hear(map[string]string{ann: "ann"})); diff != "" {
		t.Error(diff)
	}
	var kept bool
	if err := w.db.Get(t.Context(), &kept, "SELECT bool_and(query ->> 'Type' = 'note') FROM app._subscription WHERE device_id = $1", ann); err != nil || !kept {
		t.Errorf("the old form is gone: %v, %v", kept, err)
	}
}
