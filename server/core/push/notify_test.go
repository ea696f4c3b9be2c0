package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/push"
	"crema/server/testkit"
)

const (
	ownerOnly = `"_access":[]`
	forAll    = `"_access":[{"level":"read","public":true}]`
)

func key(name string) string { return `{"$type":"keypath","$val":"` + name + `"}` }

func TestNotices_WhoHearsWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	ann, bob, eve := w.device("ann"), w.device("bob", "barista"), w.device("eve")
	names := map[string]string{ann: "ann", bob: "bob", eve: "eve"}
	for user, device := range map[string]string{"ann": ann, "bob": bob, "eve": eve} {
		w.subscribe(w.as(user), "", device, "all", `"record_type":"note"`)
		w.subscribe(w.as(user), "_private", device, "mine", `"record_type":"note"`)
	}
	w.subscribe(w.as("eve"), "", eve, "x", `"record_type":"note","predicate":["eq",`+key("title")+`,"x"]`)
	asAnn := w.as("ann")
	save := func(database, record string) func() { return func() { w.save(asAnn, database, record) } }
	for i, c := range []struct {
		change func()
		want   []string
	}{
		{save("", `{"_id":"note/1",`+forAll+`,"title":"x"}`), []string{"ann all", "bob all", "eve all", "eve x"}},
		{save("", `{"_id":"note/1","title":"y"}`), []string{"ann all", "bob all", "eve all"}},
		{save("", `{"_id":"note/2",`+ownerOnly+`,"title":"x"}`), []string{"ann all"}},
		{save("", `{"_id":"note/3","_access":[{"level":"read","role":"barista"}],"title":"x"}`), []string{"ann all", "bob all"}},
		{save("", `{"_id":"note/4","_access":[{"level":"read","user_id":"eve"}],"title":"x"}`), []string{"ann all", "eve all", "eve x"}},
		{save("_private", `{"_id":"note/5","title":"x"}`), []string{"ann mine"}},
		{func() { w.delete(asAnn, "note/4") }, []string{"ann all", "eve all", "eve x"}},
		{func() { w.delete(asAnn, "note/2") }, []string{"ann all"}},
		{save("", `{"_id":"note/1",`+ownerOnly+`}`), []string{"ann all"}},
	} {
		c.change()
		if diff := cmp.Diff(c.want, w.hear(names)); diff != "" {
			t.Errorf("change %d: %s", i, diff)
		}
	}
}

// What somebody may not hear leaves no gap in the numbers of what they hear, and these grow.
func TestNotices_NumbersTellNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	ann, eve := w.device("ann"), w.device("eve")
	w.subscribe(w.as("ann"), "", ann, "a", `"record_type":"note"`)
	w.subscribe(w.as("eve"), "", eve, "e", `"record_type":"note"`)
	for i := range 30 {
		access := ownerOnly
		if i%10 == 0 {
			access = forAll
		}
		w.save(w.as("ann"), "", fmt.Sprintf(`{"_id":"note/%d",%s}`, i, access))
	}
	w.hear(nil)
	last := map[string]int64{}
	for i, to := range w.heard.all {
		if seq := w.heard.seqs[i]; last[to] != 0 && seq != last[to]+1 {
			t.Errorf("%s: %d after %d", to, seq, last[to])
		}
		last[to] = w.heard.seqs[i]
	}
	if len(w.heard.all) != 33 {
		t.Errorf("%d notices", len(w.heard.all))
	}
}

func TestNotices_Predicates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	ann := w.device("ann")
	as := w.as("ann")
	w.device("bob")
	w.exec("INSERT INTO app._follow (left_id, right_id) VALUES ('ann', $1)", "bob")
	w.save(as, "", `{"_id":"cat/fruit","name":"fruit"}`)
	w.save(as, "", `{"_id":"bean/0","name":"","n":0,"when":{"$type":"date","$date":"2020-01-01T00:00:00Z"},"tags":[],"where":{"$type":"geo","$lat":0,"$lng":0},"cat":{"$type":"ref","$id":"cat/fruit"}}`)
	k := key
	for id, predicate := range map[string]string{
		"eq":       `["eq",` + k("name") + `,"kenya"]`,
		"neq":      `["neq",` + k("name") + `,"kenya"]`,
		"in":       `["in",` + k("n") + `,[1,2]]`,
		"or":       `["or",["eq",` + k("n") + `,7],["eq",` + k("name") + `,"kenya"]]`,
		"and":      `["and",["eq",` + k("n") + `,7],["eq",` + k("name") + `,"kenya"]]`,
		"not":      `["not",["eq",` + k("n") + `,1]]`,
		"null":     `["eq",` + k("when") + `,null]`,
		"date":     `["gt",` + k("when") + `,{"$type":"date","$date":"2024-01-01T00:00:00Z"}]`,
		"tag":      `["in","dark",` + k("tags") + `]`,
		"id":       `["eq",` + k("_id") + `,"1"]`,
		"owner":    `["eq",` + k("_owner_id") + `,"ann"]`,
		"ref":      `["eq",` + k("cat") + `,{"$type":"ref","$id":"cat/fruit"}]`,
		"join":     `["eq",` + k("cat.name") + `,"fruit"]`,
		"distance": `["lt",["func","distance",` + k("where") + `,{"$type":"geo","$lat":1,"$lng":1}],1000]`,
		"followed": `["func","userRelation",` + k("_owner") + `,{"$type":"relation","$name":"_follow","$direction":"outward"}]`,
	} {
		w.subscribe(as, "", ann, id, `"record_type":"bean","predicate":`+predicate)
	}
	w.save(as, "", `{"_id":"bean/1","name":"kenya","n":1,"when":{"$type":"date","$date":"2025-01-01T00:00:00Z"},"tags":["dark"],"where":{"$type":"geo","$lat":1,"$lng":1},"cat":{"$type":"ref","$id":"cat/fruit"}}`)
	if diff := cmp.Diff([]string{"date", "distance", "eq", "id", "in", "join", "or", "owner", "ref", "tag"}, heardOf(w, ann)); diff != "" {
		t.Errorf("the first: %s", diff)
	}
	w.save(w.as("bob"), "", `{"_id":"bean/2","name":"java","n":3}`)
	if diff := cmp.Diff([]string{"followed", "neq", "not", "null"}, heardOf(w, ann)); diff != "" {
		t.Errorf("the second: %s", diff)
	}
}

// heardOf returns the subscriptions of a device that were told of the last change.
func heardOf(w *world, device string) []string {
	w.t.Helper()
	got := w.hear(nil)
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], "_sub_"+device+" ")
	}
	return got
}

// Rules about fields that come after the subscription count, and so does losing a role.
func TestNotices_NothingLeaksThroughPredicates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	ann, eve := w.device("ann"), w.device("eve", "barista")
	w.save(w.as("ann"), "", `{"_id":"note/0",`+forAll+`,"pin":"0"}`)
	w.save(w.as("ann"), "", `{"_id":"link/0",`+forAll+`,"to":{"$type":"ref","$id":"note/0"}}`)
	w.save(w.as("ann"), "", `{"_id":"note/hidden",`+ownerOnly+`,"pin":"1"}`)
	for user, device := range map[string]string{"ann": ann, "eve": eve} {
		w.subscribe(w.as(user), "", device, "pin", `"record_type":"note","predicate":["neq",`+key("pin")+`,"nothing"]`)
		w.subscribe(w.as(user), "", device, "join", `"record_type":"link","predicate":["eq",`+key("to.pin")+`,"1"]`)
	}
	w.exec(`INSERT INTO app._record_field_access VALUES ('note', 'pin', '_role:barista', $1, true, true, true), ('note', 'pin', '_user_id:ann', true, true, true, true)`, true)
	w.exec(`UPDATE app._schema_version SET version = version + $1`, 1)
	w.save(w.as("ann"), "", `{"_id":"other/1"}`) // meets the new version
	w.save(w.as("ann"), "", `{"_id":"note/1",`+forAll+`,"pin":"1"}`)
	w.save(w.as("ann"), "", `{"_id":"link/1",`+forAll+`,"to":{"$type":"ref","$id":"note/hidden"}}`)
	names := map[string]string{ann: "ann", eve: "eve"}
	if diff := cmp.Diff([]string{"ann join", "ann pin", "eve pin"}, w.hear(names)); diff != "" {
		t.Errorf("with the role: %s", diff)
	}
	w.exec("DELETE FROM app._auth_role WHERE auth_id = $1", "eve")
	w.save(w.as("ann"), "", `{"_id":"note/2",`+forAll+`,"pin":"1"}`)
	if diff := cmp.Diff([]string{"ann pin"}, w.hear(names)); diff != "" {
		t.Errorf("without the role: %s", diff)
	}
}

func TestNotices_OfDirectSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	ann := w.device("ann")
	w.subscribe(w.as("ann"), "", ann, "s", `"record_type":"tea","predicate":["eq",`+key("leaf")+`,"big"]`) // before the type is there
	w.save(w.as("ann"), "", `{"_id":"tea/1","leaf":"big"}`)
	w.start() // what was noted before counts
	w.exec(`INSERT INTO app.tea (_id, _database_id, _owner_id, _created_at, _updated_at, leaf)
		SELECT i::text, '', 'x', now(), now(), CASE WHEN i % 2 = 0 THEN 'big' ELSE 'small' END FROM generate_series(2, $1) i`, 7)
	w.exec("UPDATE app.tea SET leaf = 'big' WHERE _id = $1", "3")
	w.exec("DELETE FROM app.tea WHERE _id = $1", "4")
	got := w.hear(map[string]string{ann: "ann"})
	want := []string{"ann s", "ann s", "ann s", "ann s", "ann s", "ann s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNotices_NothingStalls(t *testing.T) { // T42
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	ann := w.device("ann")
	w.save(w.as("ann"), "", `{"_id":"note/0","n":1}`)
	w.subscribe(w.as("ann"), "", ann, "good", `"record_type":"note"`)
	for i, query := range []string{
		`{"record_type":"note","predicate":"nonsense"}`, `{"record_type":"note","predicate":["eq",{"$type":"keypath","$val":"gone"},1]}`,
		`{"record_type":"note","predicate":["eq"]}`, `[]`, `{"record_type":"note","predicate":["func","x",1]}`, `{"Type":"note"}`,
	} {
		w.exec("INSERT INTO app._subscription (id, auth_id, device_id, type, query) VALUES ($1, '', $2, 'query', $3)", fmt.Sprint("bad", i), ann, query)
	}
	w.exec("INSERT INTO app._subscription (id, auth_id, device_id, type, query) VALUES ('foreign', 'bob', $1, 'query', '{\"record_type\":\"note\"}')", ann)
	w.exec("INSERT INTO app._record_change (record_type, database, record) VALUES ('note', '', '{\"_id\":\"a\",\"_database_id\":\"\",\"n\":\"no number\"}'), ('note', '', $1), ('nowhere', '', '{}')", `"no row"`)
	w.exec("INSERT INTO app._record_change (record_type, database, record) VALUES ('note', 'bob', $1)", `{"_id":"b","_database_id":"bob","_owner_id":"bob"}`)
	w.exec("INSERT INTO app._device (id, auth_id, type, last_registered_at) VALUES ('android', 'ann', $1, now())", "android")
	w.subscribe(w.as("ann"), "", "android", "good", `"record_type":"note"`)
	w.save(w.as("ann"), "", `{"_id":"note/1","n":2}`)
	w.save(w.as("ann"), "", `{"_id":"note/2","n":2}`)
	got := map[string]int{}
	for _, s := range w.hear(map[string]string{ann: "ann"}) {
		got[s]++
	}
	if diff := cmp.Diff(map[string]int{"ann good": 2, "_sub_android good": 2}, got); diff != "" {
		t.Error(diff)
	}
}

// Columns that apps made by themselves may hold what jsonb cannot.
func TestNotices_NeverMakeAWriteFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	ann := w.device("ann")
	w.save(w.as("ann"), "", `{"_id":"note/0","n":1}`)
	w.subscribe(w.as("ann"), "", ann, "s", `"record_type":"note"`)
	w.exec("ALTER TABLE app.note ADD COLUMN odd json, ADD COLUMN far timestamp, ADD COLUMN bits bytea")
	w.exec("INSERT INTO app.note (_id, _database_id, _owner_id, _created_at, _updated_at, n, far, bits) VALUES ('1', '', 'x', now(), now(), 'NaN', 'infinity', $1)", []byte{0, 1})
	w.exec("INSERT INTO app.note (_id, _database_id, _owner_id, _created_at, _updated_at, odd) VALUES ('2', '', 'x', now(), now(), $1)", `{"a":"\u0000"}`)
	w.exec("UPDATE app.note SET n = $1 WHERE _id = '0'", 2)
	if diff := cmp.Diff([]string{"ann s", "ann s"}, w.hear(map[string]string{ann: "ann"})); diff != "" {
		t.Error(diff) // of the second row nobody can be told
	}
}

func TestNotices_NotToTheDisabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	ann, bob := w.device("ann"), w.device("bob")
	w.subscribe(w.as("ann"), "", ann, "s", `"record_type":"note"`)
	w.subscribe(w.as("bob"), "", bob, "s", `"record_type":"note"`)
	w.exec("UPDATE app._auth SET disabled = true, disabled_expiry = now() AT TIME ZONE 'UTC' - interval '1 hour' WHERE id = $1", "ann")
	w.exec("UPDATE app._auth SET disabled = true WHERE id = $1", "bob")
	w.save(w.as("ann"), "", `{"_id":"note/1"}`)
	if diff := cmp.Diff([]string{"ann s"}, w.hear(map[string]string{ann: "ann", bob: "bob"})); diff != "" {
		t.Error(diff)
	}
}

// The master key may save a subscription for anybody's device; it is judged as the device's owner.
func TestNotices_MasterGivesNoRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.start()
	eve := w.device("eve")
	master := acl.WithActor(t.Context(), acl.Actor{UserID: "ann", Key: acl.MasterKey})
	w.subscribe(master, "", eve, "s", `"record_type":"note"`)
	items, err := w.push.Subscribe(master, push.Target{Database: "ann", DeviceID: eve}, []push.Subscription{{ID: "p", Type: "query", Query: json.RawMessage(`{"record_type":"note"}`)}})
	if err != nil || items[0].Err == nil {
		t.Errorf("eve may listen to the private database of ann: %+v, %v", items, err)
	}
	w.save(w.as("ann"), "", `{"_id":"note/1",`+ownerOnly+`}`)
	w.save(w.as("ann"), "_private", `{"_id":"note/2"}`)
	if got := w.hear(nil); len(got) != 0 {
		t.Errorf("eve heard %v", got)
	}
}

func TestNotices_TypesWithoutSubscriptionHaveNoTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	w.save(w.as("ann"), "", `{"_id":"quiet/1"}`)
	ann := w.device("ann")
	w.subscribe(w.as("ann"), "", ann, "a", `"record_type":"note"`)
	w.subscribe(w.as("ann"), "", ann, "b", `"record_type":"user"`)
	w.subscribe(w.as("ann"), "_private", ann, "b", `"record_type":"user"`)
	w.save(w.as("ann"), "", `{"_id":"note/1"}`)
	var tables []string
	err := w.db.Select(t.Context(), &tables, "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname = $1 ORDER BY 1", "_note_record_change")
	if diff := cmp.Diff([]string{"note", "user"}, tables); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := w.push.Unsubscribe(w.as("ann"), push.Target{DeviceID: ann, IDs: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	w.exec("DELETE FROM app._record_change WHERE $1 = $1", 1)
	w.save(w.as("ann"), "", `{"_id":"note/2"}`)
	var n int
	if err := w.db.Get(t.Context(), &n, "SELECT count(*) FROM app._record_change"); err != nil || n != 0 {
		t.Errorf("%d changes of a type that nobody listens to, %v", n, err)
	}
}

// Old databases note the changes of all types in a table of the schema public.
func TestNotices_OfOldTriggers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	ann := w.device("ann")
	w.save(w.as("ann"), "", `{"_id":"note/0","title":"x"}`)
	w.save(w.as("ann"), "", `{"_id":"quiet/0","title":"x"}`)
	w.exec(`
		CREATE TABLE public.pending_notification (id serial PRIMARY KEY, op text NOT NULL, appname text NOT NULL, recordtype text NOT NULL, record jsonb NOT NULL);
		CREATE FUNCTION public.notify_record_change() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE affected record; noted integer;
		BEGIN
		  IF TG_OP = 'DELETE' THEN affected := OLD; ELSE affected := NEW; END IF;
		  INSERT INTO public.pending_notification (op, appname, recordtype, record)
		  VALUES (TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, row_to_json(affected)::jsonb) RETURNING id INTO noted;
		  PERFORM pg_notify('record_change', noted::text);
		  RETURN affected;
		END $$;
		CREATE TRIGGER trigger_notify_record_change AFTER INSERT OR UPDATE OR DELETE ON app.note FOR EACH ROW EXECUTE FUNCTION public.notify_record_change();
		CREATE TRIGGER trigger_notify_record_change AFTER INSERT OR UPDATE OR DELETE ON app.quiet FOR EACH ROW EXECUTE FUNCTION public.notify_record_change();
		INSERT INTO public.pending_notification (op, appname, recordtype, record) VALUES ('INSERT', 'another_app', 'note', '{}')`)
	w.subscribe(w.as("ann"), "", ann, "s", `"record_type":"note","predicate":["eq",`+key("title")+`,"x"]`)
	w.save(w.as("ann"), "", `{"_id":"note/1","title":"x"}`)
	w.start()
	w.save(w.as("ann"), "", `{"_id":"note/1","title":"y"}`)
	w.save(w.as("ann"), "", `{"_id":"quiet/1","title":"x"}`)
	w.delete(w.as("ann"), "note/0")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var left []string
	for end := time.Now().Add(limit); !cmp.Equal(left, []string{"another_app"}); <-tick.C {
		left = nil
		if err := w.db.Select(t.Context(), &left, "SELECT appname FROM public.pending_notification"); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("what old triggers noted stays: %v", left)
		}
	}
	if diff := cmp.Diff([]string{"ann s", "ann s"}, w.hear(map[string]string{ann: "ann"})); diff != "" {
		t.Error(diff)
	}
}

func TestNotices_TwoServersTellEachOnce(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	one, two := newWorld(t, db), newWorld(t, db)
	ann, bob := one.device("ann"), two.device("bob")
	one.subscribe(one.as("ann"), "", ann, "a", `"record_type":"note"`)
	two.subscribe(two.as("bob"), "", bob, "b", `"record_type":"note"`)
	one.start()
	two.start()
	const n = 100
	var writers sync.WaitGroup
	for i, w := range []*world{one, two} {
		writers.Go(func() {
			for j := range n {
				w.save(w.as("ann"), "", fmt.Sprintf(`{"_id":"note/%d-%d"}`, i, j))
			}
		})
	}
	writers.Wait()
	one.exec(`INSERT INTO app.note (_id, _database_id, _owner_id, _created_at, _updated_at) SELECT 'sql' || i, '', 'x', now(), now() FROM generate_series(1, $1) i`, 5*n)
	got := map[string]int{}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); len(got) < 2*7*n && time.Now().Before(end); <-tick.C {
		clear(got)
		for _, w := range []*world{one, two} {
			w.heard.mu.Lock()
			for i, s := range w.heard.all {
				got[fmt.Sprint(s, " ", w.heard.seqs[i])]++
			}
			w.heard.mu.Unlock()
		}
	}
	if len(got) != 2*7*n {
		t.Errorf("%d of %d notices came", len(got), 2*7*n)
	}
	for s, times := range got {
		if times != 1 {
			t.Errorf("%s came %d times", s, times)
		}
	}
}

// A database may have been restored without our triggers.
func TestStart_WatchesWhatIsSubscribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DB(t))
	ann := w.device("ann")
	w.save(w.as("ann"), "", `{"_id":"note/0"}`)
	w.subscribe(w.as("ann"), "", ann, "s", `"record_type":"note"`)
	w.exec("DROP TRIGGER _note_record_change ON app.note")
	w.exec("INSERT INTO app._subscription (id, auth_id, device_id, type, query) VALUES ('x', '', $1, 'query', '{\"record_type\":\"nowhere\"}')", ann)
	w.start()
	w.save(w.as("ann"), "", `{"_id":"note/1"}`)
	if diff := cmp.Diff([]string{"ann s"}, w.hear(map[string]string{ann: "ann"})); diff != "" {
		t.Error(diff)
	}
}

// A change that nobody can handle is given up; those around it are told.
func TestNotices_OneThatAlwaysFailsIsGivenUp(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	h := newHeard()
	w := newWorldPublishing(t, db, func(ctx context.Context, tx *pg.Tx, channel string, data json.RawMessage) error {
		var e struct {
			ID string `json:"subscription-id"`
		}
		if err := json.Unmarshal(data, &e); err != nil || e.ID == "poison" {
			return errors.New("no way")
		}
		return h.publish(ctx, tx, channel, data)
	}, func(c *push.Config) { c.Pause = time.Millisecond })
	w.heard = h
	ann := w.device("ann")
	w.subscribe(w.as("ann"), "", ann, "good", `"record_type":"note"`)
	w.subscribe(w.as("ann"), "", ann, "poison", `"record_type":"note","predicate":["eq",`+key("_id")+`,"7"]`)
	w.save(w.as("ann"), "", `{"_id":"note/0"}`)
	w.subscribe(w.as("ann"), "", ann, "poison", `"record_type":"note","predicate":["eq",`+key("_id")+`,"7"]`)
	for i := range 15 {
		w.save(w.as("ann"), "", fmt.Sprintf(`{"_id":"note/%d"}`, i))
	}
	w.start()
	if n := len(w.hear(nil)); n != 15 { // the change of note/7 is lost, and note/0 changed twice
		t.Errorf("%d notices", n)
	}
}
