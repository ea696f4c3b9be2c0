package assets_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"crema/server/core/acl"
	"crema/server/core/assets"
	"crema/server/core/records"
	"crema/server/core/schema"
)

// counted counts how often the records ask for assets.
type counted struct {
	*assets.Service
	calls atomic.Int32
}

func (c *counted) Describe(ctx context.Context, names []string) (map[string]records.Asset, error) {
	c.calls.Add(1)
	return c.Service.Describe(ctx, names)
}

// shelf is the records room with assets behind it.
type shelf struct {
	*room
	assets  *counted
	records *records.Service
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{room: newRoom(t, nil)}
	s.assets = &counted{Service: s.Service}
	s.records = records.New(records.Config{DB: s.db, Schema: schema.New(s.db), Assets: s.assets, DevMode: true})
	return s
}

var user = acl.Actor{UserID: "U1", Key: acl.ClientKey}

// save saves records of the wire and returns the answer's entries.
func (s *shelf) save(t *testing.T, list string) string {
	t.Helper()
	req, err := records.DecodeSave(records.Params{"records": json.RawMessage(list)})
	if err != nil {
		t.Fatal(err)
	}
	results, err := s.records.Save(acl.WithActor(t.Context(), user), req)
	if err != nil {
		t.Fatal(err)
	}
	return texts(results)
}

func texts(results []records.Result) string {
	var b []byte
	for _, r := range results {
		if r.Err != nil {
			b = append(b, r.Err.Reason+"\n"...)
			continue
		}
		b = append(records.AppendJSON(b, r.Record), '\n')
	}
	return string(b)
}

func (s *shelf) put(t *testing.T, name string) string {
	t.Helper()
	a, err := s.Put(t.Context(), assets.Announcement{Filename: name, ContentType: "text/plain", Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	return a.Name
}

// completed matches an asset with everything that clients get to see.
func completed(name string) *regexp.Regexp {
	return regexp.MustCompile(`\{"\$type":"asset","\$name":"` + regexp.QuoteMeta(name) + `","\$content_type":"text/plain","\$url":"http://shop/files/` +
		regexp.QuoteMeta(name) + `\?expiredAt=\d+(&|\\u0026)signature=[^"]+"\}`)
}

func TestRecords_AssetsComeBackSignedFromSaveFetchQueryAndInclude(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	a, b := s.put(t, "a.txt"), s.put(t, "b.txt")
	list := `[{"_id":"doc/1","file":{"$type":"asset","$name":"` + a + `","$url":"http://evil"},"n":1},{"_id":"doc/2","file":{"$type":"asset","$name":"` + b + `"}}]`
	saved := s.save(t, list)
	if !completed(a).MatchString(saved) || !completed(b).MatchString(saved) || s.assets.calls.Load() != 1 {
		t.Errorf("saved in %d calls: %s", s.assets.calls.Load(), saved)
	}
	if again := s.save(t, `[{"_id":"doc/1","n":2}]`); !completed(a).MatchString(again) {
		t.Errorf("saved without the field: %s", again)
	}
	s.save(t, `[{"_id":"page/1","doc":{"$type":"ref","$id":"doc/1"}}]`)
	var stored string
	if err := s.db.Get(t.Context(), &stored, `SELECT file FROM app.doc WHERE _id = '1'`); err != nil || stored != a {
		t.Errorf("stored is %q, %v", stored, err)
	}

	ctx := acl.WithActor(t.Context(), user)
	s.assets.calls.Store(0)
	fetched, err := s.records.Fetch(ctx, records.IDsRequest{IDs: []string{"doc/1", "doc/2", "doc/none"}})
	if text := texts(fetched); err != nil || !completed(a).MatchString(text) || !completed(b).MatchString(text) {
		t.Errorf("fetched: %s %v", text, err)
	}
	for typ, want := range map[string]*regexp.Regexp{"doc": completed(b), "page": completed(a)} {
		q := records.Query{Type: typ}
		if typ == "page" {
			q.Include = map[string]any{"its": map[string]any{"$type": "keypath", "$val": "doc"}}
		}
		page, err := s.records.Query(ctx, q)
		if text := string(records.AppendPage(nil, page)); err != nil || !want.MatchString(text) {
			t.Errorf("query of %s: %s %v", typ, text, err)
		}
	}
	if n := s.assets.calls.Load(); n != 3 {
		t.Errorf("a fetch and two queries asked %d times", n)
	}
	own, err := records.ForFunctions(s.records, user).Fetch(t.Context(), "doc/1")
	if raw, ok := own[0].Fields["file"].(json.RawMessage); err != nil || !ok || !completed(a).Match(raw) {
		t.Errorf("a function gets %s %v", own[0].Fields["file"], err)
	}
}

// A request without assets asks the database nothing more than before.
func TestRecords_WithoutAssetsNobodyIsAsked(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.save(t, `[{"_id":"note/1","title":"x"}]`)
	s.save(t, `[{"_id":"doc/1","file":{"$type":"asset","$name":"`+s.put(t, "a.txt")+`"}},{"_id":"doc/2","title":"no file"}]`)
	s.assets.calls.Store(0)
	ctx := acl.WithActor(t.Context(), user)
	for _, ids := range [][]string{{"note/1"}, {"doc/2"}, {"note/none"}} {
		if _, err := s.records.Fetch(ctx, records.IDsRequest{IDs: ids}); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []records.Query{{Type: "note"}, {Type: "none"}, {Type: "doc", Desired: []string{"title"}}} {
		if _, err := s.records.Query(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.assets.calls.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestRecords_AnUnknownAssetIsRefusedAndAHiddenOneStaysHidden(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	name := s.put(t, "a.txt")
	s.save(t, `[{"_id":"doc/1","file":{"$type":"asset","$name":"`+name+`"}}]`)
	if got := s.save(t, `[{"_id":"doc/2","file":{"$type":"asset","$name":"nobody-knows"}}]`); got != "records.dangling\n" {
		t.Errorf("an unknown name: %s", got)
	}
	if _, err := s.db.Exec(t.Context(), `INSERT INTO app._record_field_access VALUES ('doc', 'file', '_owner', true, true, true, true)`); err != nil {
		t.Fatal(err)
	}
	fresh := records.New(records.Config{DB: s.db, Schema: schema.New(s.db), Assets: s.assets})
	results, err := fresh.Fetch(acl.WithActor(t.Context(), acl.Actor{UserID: "U2", Key: acl.ClientKey}), records.IDsRequest{IDs: []string{"doc/1"}})
	if text := texts(results); err != nil || strings.Contains(text, name) || !strings.Contains(text, `"_id":"doc/1"`) {
		t.Errorf("another user sees %s %v", text, err)
	}
}
