package assets_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"crema/server/core/functions"
	"crema/server/lambda"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	a, err := r.Put(t.Context(), announce("a&b.txt"))
	if err != nil {
		t.Fatal(err)
	}
	signed := regexp.MustCompile(`"http://shop/files/[^"]+&signature=[^"]+"`)
	name, _ := json.Marshal(a.Name)
	for text, want := range map[string]string{
		``:       ``,
		`{"x":1`: `{"x":1`,
		`{"kind": "asset", "n": 12345678901234567890}`:                         `{"kind": "asset", "n": 12345678901234567890}`,
		`{"$type":"asset","$name":5}`:                                          `{"$type":"asset","$name":5}`,
		`[{"$type":"asset","$name":NAME,"$url":"http://evil"},1.50,"<"]`:       `[{"$content_type":"text/plain","$name":NAME,"$type":"asset","$url":SIGNED},1.50,"<"]` + "\n",
		`{"deep":{"er":[{"$type":"asset","$name":NAME}]}}`:                     `{"deep":{"er":[{"$content_type":"text/plain","$name":NAME,"$type":"asset","$url":SIGNED}]}}` + "\n",
		`{"$type":"asset","$name":"unknown","$url":"x","$content_type":"y/z"}`: `{"$name":"unknown","$type":"asset"}` + "\n",
	} {
		got, err := r.Complete(t.Context(), json.RawMessage(strings.ReplaceAll(text, "NAME", string(name))))
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(signed.ReplaceAllString(string(got), "SIGNED"), `a\u0026b`, "a&b")
		if want = strings.ReplaceAll(strings.ReplaceAll(want, "NAME", string(name)), `a\u0026b`, "a&b"); plain != want {
			t.Errorf("%s\n got %s\nwant %s", text, plain, want)
		}
	}
}

// §3.10: functions get assets with their URLs, and so do their callers.
func TestComplete_ArgumentsAndResultsOfFunctions(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	a, err := r.Put(t.Context(), announce("a.txt"))
	if err != nil {
		t.Fatal(err)
	}
	type arguments struct {
		File map[string]string `json:"file"`
	}
	seen := ""
	fns, err := functions.New(functions.Config{Complete: r.Complete}, lambda.Op("look", func(_ context.Context, _ *lambda.Call, in arguments) (any, error) {
		seen = in.File["$url"]
		return map[string]any{"same": map[string]string{"$type": "asset", "$name": in.File["$name"]}}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	result, err := fns.Invoke(t.Context(), "look", json.RawMessage(`{"file":{"$type":"asset","$name":"`+a.Name+`"}}`))
	if err != nil || !strings.HasPrefix(seen, "http://shop/files/"+a.Name+"?expiredAt=") || !completed(a.Name).Match(reorder(t, result)) {
		t.Errorf("the function saw %q, its caller %s, %v", seen, result, err)
	}
}

// reorder writes the asset inside a result in the order in which records have it.
func reorder(t *testing.T, result json.RawMessage) []byte {
	t.Helper()
	var out struct {
		Same struct {
			Type        string `json:"$type"`
			Name        string `json:"$name"`
			ContentType string `json:"$content_type"`
			URL         string `json:"$url"`
		}
	}
	if err := json.Unmarshal(result, &out); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(out.Same)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
