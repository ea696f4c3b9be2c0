package sockets

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// Whatever a frame says, its data is a JSON value as it was sent, or the frame is refused.
func FuzzDecode(f *testing.F) {
	for _, frame := range []string{
		`{"action":"sub","channel":"room"}`, `{"action":"pub","channel":"room","data":{"x": 1.0}}`, `{"ACTION":"pub","data":null}`,
		`{"action":"pub","action":"sub","data":1,"data":[2]}`, `{"action":1}`, `null`, `[]`, ``, "{\"channel\":\"\xff\"}", `{"data":` + "\t1 }",
		`{"channel":"\ud800","data":"\u0000"}`,
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decode(text)
		if err != nil {
			return
		}
		if !json.Valid(text) || !utf8.ValidString(got.Channel) {
			t.Errorf("%q is taken", text)
		}
		if got.Data != nil && (!json.Valid(got.Data) || !bytes.Contains(text, got.Data)) {
			t.Errorf("%q has the data %q", text, got.Data)
		}
	})
}
