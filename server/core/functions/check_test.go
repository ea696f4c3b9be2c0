package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/lambda"
)

type address struct {
	Street string   `json:"street"`
	Floor  *int     `json:"floor"`
	Hidden string   `json:"-"`
	Next   *address `json:"next"`
}

type common struct {
	Locale string `json:"locale" lambda:"optional"`
}

type everything struct {
	common
	Text    string             `json:"text"`
	Int     int64              `json:"int" lambda:"optional"`
	Small   int8               `json:"small" lambda:"optional"`
	Uint    uint16             `json:"uint" lambda:"optional"`
	Float   float64            `json:"float" lambda:"optional"`
	Bool    *bool              `json:"bool"`
	At      *time.Time         `json:"at"`
	Bytes   []byte             `json:"bytes" lambda:"optional"`
	Free    any                `json:"free" lambda:"optional"`
	Raw     json.RawMessage    `json:"raw" lambda:"optional"`
	Quoted  int                `json:"quoted,string" lambda:"optional"`
	Where   *address           `json:"where"`
	Places  []address          `json:"places" lambda:"optional"`
	ByName  map[string]address `json:"by_name" lambda:"optional"`
	Untamed string             `lambda:"optional"`
	//lint:ignore U1000 a field that JSON does not see
	private int
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newService(t testing.TB, c Config, fns ...lambda.Function) *Service {
	t.Helper()
	if c.Log == nil {
		c.Log = quiet()
	}
	s, err := New(c, fns...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mirror(_ context.Context, _ *lambda.Call, in everything) (everything, error) { return in, nil }

func TestInvoke_RefusesBadArguments(t *testing.T) {
	t.Parallel()
	s := newService(t, Config{}, lambda.Op("mirror", mirror))
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, c := range []struct {
		name, args, reason, argument string // argument "" for faults of the whole text
		message                      string // part of it
	}{
		{"no object: array", `["x"]`, "args_not_object", "", "not an array"},
		{"no object: string", `"x"`, "args_not_object", "", "not a string"},
		{"no object: null", `null`, "args_not_object", "", "not null"},
		{"no object: number", ` -1 `, "args_not_object", "", "not a number"},
		{"no object: bool", `true`, "args_not_object", "", "not true or false"},
		{"missing", ``, "missing_argument", "text", "missing: text"},
		{"missing as null", `{"text":null}`, "missing_argument", "text", "missing: text"},
		{"missing below", `{"text":"","where":{}}`, "missing_argument", "where.street", "where.street"},
		{"missing in a list", `{"text":"","places":[{"street":""},{"floor":1}]}`, "missing_argument", "places[1].street", ""},
		{"missing in a map", `{"text":"","by_name":{"home":{}}}`, "missing_argument", "by_name.home.street", ""},
		{"unknown", `{"text":"","colour":1}`, "unknown_argument", "colour", "known are locale, text,"},
		{"unknown, nearly right", `{"text":"","flaot":1}`, "unknown_argument", "flaot", "did you mean float?"},
		{"unknown, other case", `{"Text":""}`, "unknown_argument", "Text", "did you mean text?"},
		{"unknown below", `{"text":"","where":{"streat":""}}`, "unknown_argument", "where.streat", "did you mean street?"},
		{"unknown far below", `{"text":"","where":{"street":"","next":{"street":"","x":1}}}`, "unknown_argument", "where.next.x", ""},
		{"unknown: hidden", `{"text":"","Hidden":""}`, "unknown_argument", "Hidden", ""},
		{"unknown: private", `{"text":"","private":1}`, "unknown_argument", "private", ""},
		{"unknown: empty", `{"text":"","":1}`, "unknown_argument", "", ""},
		{"twice", `{"text":"a","text":"b"}`, "duplicate_argument", "text", "sent twice"},
		{"twice, once escaped", `{"text":"a","t\u0065xt":"b"}`, "duplicate_argument", "text", ""},
		{"twice, once null", `{"text":"a","float":null,"float":1}`, "duplicate_argument", "float", ""},
		{"twice below", `{"text":"a","where":{"street":"","street":""}}`, "duplicate_argument", "where.street", ""},
		{"NUL", `{"text":"a\u0000b"}`, "nul_character", "text", "U+0000"},
		{"NUL below", `{"text":"a","free":[1,{"x":"\u0000"}]}`, "nul_character", "free[1].x", ""},
		{"NUL in a name", `{"text":"a","free":{"\u0000":1}}`, "nul_character", "free", ""},
		{"number beyond 2^53", `{"text":"","int":9007199254740993}`, "number_too_large", "int", "2^53"},
		{"number beyond -2^53", `{"text":"","int":-9007199254740993}`, "number_too_large", "int", "2^53"},
		{"number beyond int64", `{"text":"","int":9223372036854775808}`, "number_too_large", "int", "2^53"},
		{"number of 400 digits", `{"text":"","raw":1` + strings.Repeat("0", 400) + `}`, "number_too_large", "raw", "2^53"},
		{"string as number", `{"text":7}`, "wrong_type", "text", "text must be a string, not a number"},
		{"bool as string", `{"text":true}`, "wrong_type", "text", "text must be a string, not true or false"},
		{"object as string", `{"text":{}}`, "wrong_type", "text", "text must be a string, not an object"},
		{"array as string", `{"text":[]}`, "wrong_type", "text", "text must be a string, not an array"},
		{"int as string", `{"text":"","int":"1"}`, "wrong_type", "int", "int must be a whole number from -9007199254740992 to 9007199254740991, without fraction or exponent, not a string"},
		{"int with fraction", `{"text":"","int":1.5}`, "wrong_type", "int", "without fraction"},
		{"int with exponent", `{"text":"","int":1e3}`, "wrong_type", "int", "exponent"},
		{"int8", `{"text":"","small":128}`, "wrong_type", "small", "from -128 to 127"},
		{"uint16", `{"text":"","uint":-1}`, "wrong_type", "uint", "from 0 to 65535"},
		{"float", `{"text":"","float":"1"}`, "wrong_type", "float", "must be a number, not a string"},
		{"float too large", `{"text":"","float":1e999}`, "wrong_type", "float", "must be a number"},
		{"bool", `{"text":"","bool":"true"}`, "wrong_type", "bool", "must be true or false, not a string"},
		{"time", `{"text":"","at":"tomorrow"}`, "wrong_type", "at", "at must be"},
		{"base64", `{"text":"","bytes":"!"}`, "wrong_type", "bytes", "bytes must be"},
		{"bytes", `{"text":"","bytes":{}}`, "wrong_type", "bytes", "base64"},
		{"quoted", `{"text":"","quoted":1}`, "wrong_type", "quoted", "quoted must be"},
		{"object as list", `{"text":"","places":{"street":""}}`, "wrong_type", "places", "must be an array, not an object"},
		{"list as object", `{"text":"","where":[{"x":1}]}`, "wrong_type", "where", "must be an object, not an array"},
		{"type below", `{"text":"","places":[{"street":7}]}`, "wrong_type", "places.street", "must be a string"},
		{"too deep", `{"text":"","free":` + deep + `}`, "too_deep", "free", "100 levels"},
		{"malformed", `{"text":"a"`, "bad_json", "", `line 1, column 12: "," or '}' is expected, but the text ends`},
		{"malformed: trailing", `{"text":"a"} x`, "bad_json", "", "line 1, column 14: only one"},
		{"malformed: two lines", "{\"text\":\n\t}", "bad_json", "", "line 2, column 2: a value is expected"},
		{"malformed: comma", `{"text":"a",}`, "bad_json", "", "a name in quotes is expected"},
		{"malformed: colon", `{"text" "a"}`, "bad_json", "", `":" is expected`},
		{"malformed: quote", `{"text":"a}`, "bad_json", "", "a string is not closed"},
		{"malformed: escape", `{"text":"\x"}`, "bad_json", "", "column 9: a string has a bad escape"},
		{"malformed: control", "{\"text\":\"\t\"}", "bad_json", "", "control character"},
		{"malformed: zeros", `{"int":007}`, "bad_json", "", "a number is malformed"},
		{"malformed: point", `{"int":1.}`, "bad_json", "", "a digit is expected"},
		{"malformed: exponent", `{"int":1e}`, "bad_json", "", "a digit is expected"},
		{"malformed: NaN", `{"float":NaN}`, "bad_json", "", "column 10: a value is expected"},
		{"malformed: form", `text=a`, "bad_json", "", "line 1, column 1: a value is expected"},
		{"malformed: UTF-8", "{\"text\":\"\xff\"}", "bad_json", "", "UTF-8"},
		{"malformed: mark", "\ufeff{}", "bad_json", "", "column 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			result, err := s.Invoke(t.Context(), "mirror", json.RawMessage(c.args))
			if result != nil || !fault.Is(err, "functions."+c.reason) {
				t.Fatalf("%s, %v, want functions.%s", result, err, c.reason)
			}
			f := fault.From(err)
			if !strings.Contains(f.Message, c.message) {
				t.Errorf("message %q, want %q in it", f.Message, c.message)
			}
			var want []string
			if c.argument != "" {
				want = []string{c.argument}
			}
			if got, _ := f.Details["arguments"].([]string); c.argument != "" && !cmp.Equal(want, got) {
				t.Errorf("arguments %v, want %v", got, want)
			}
			if code := map[bool]fault.Code{true: fault.BadRequest, false: fault.Invalid}[c.reason == "bad_json"]; f.Code != code {
				t.Errorf("code %s, want %s", f.Code, code)
			}
			if len(f.Message) > 600 {
				t.Errorf("message of %d bytes", len(f.Message))
			}
		})
	}
}

func TestInvoke_DecodesGoodArguments(t *testing.T) {
	t.Parallel()
	s := newService(t, Config{}, lambda.Op("mirror", mirror))
	yes, floor := true, 3
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const args = ` {"text":"a\n\u00e9😀","int":9007199254740992,"small":-128,"uint":65535,"float":-1.5e3,"bool":true,
		"at":"2026-01-02T03:04:05Z","bytes":"AQI=","free":{"a":[1,null],"a":2},"raw":[1, 2],"quoted":"7",
		"where":{"street":"s","floor":3,"next":null},"places":[],"by_name":{"x":{"street":"y"}},"Untamed":"u","locale":"de"} `
	want := everything{
		common: common{Locale: "de"}, Text: "a\né😀", Int: 1 << 53, Small: -128, Uint: 65535, Float: -1500, Bool: &yes,
		At: &at, Bytes: []byte{1, 2}, Free: map[string]any{"a": 2.0}, Raw: json.RawMessage(`[1,2]`), Quoted: 7,
		Where: &address{Street: "s", Floor: &floor}, Places: []address{}, ByName: map[string]address{"x": {Street: "y"}},
		Untamed: "u",
	}
	result, err := s.Invoke(t.Context(), "mirror", json.RawMessage(args))
	if err != nil {
		t.Fatal(err)
	}
	var got everything
	if err := json.Unmarshal(result, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(everything{})); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestInvoke_MissingNamesEveryField(t *testing.T) {
	t.Parallel()
	type in struct{ A, B, C string }
	s := newService(t, Config{}, lambda.Op("f", func(context.Context, *lambda.Call, in) (any, error) { return nil, nil }))
	_, err := s.Invoke(t.Context(), "f", json.RawMessage(`{"B":""}`))
	if diff := cmp.Diff([]string{"A", "C"}, fault.From(err).Details["arguments"]); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestCheck_ManyFields(t *testing.T) {
	t.Parallel()
	sh := &shape{index: map[string]int{}}
	var full bytes.Buffer
	for i := range 100 {
		name := strings.Repeat("x", i+1)
		sh.index[name] = i
		sh.fields = append(sh.fields, field{name: name, required: true})
		full.WriteString(`,"` + name + `":1`)
	}
	text := full.Bytes()
	text[0] = '{'
	if err := check(append(text, '}'), sh); err != nil {
		t.Error(err)
	}
	if err := check([]byte(`{"x":1}`), sh); !fault.Is(err, "functions.missing_argument") {
		t.Errorf("%v, want functions.missing_argument", err)
	}
}

// FuzzCheck holds check against encoding/json: whatever passes is an object that decodes, and of what
// does not pass, encoding/json takes only what check has a rule against.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"text":"a","int":1}`, `[1]`, `{"a":{"b":[1,-0.5e+7,"\u00e9\ud83d\ude00",true,false,null]}}`, `{"a":1,"a":2}`,
		`{"a":"\u0000"}`, `{"a":9007199254740993}`, `{"a":01}`, `{"a" :1 , "b": [ ] }`, `{"a":"\\\""}`, `{"a":tru}`, "{\"\xff\":1}", `{"a":1}{`,
		`{"text":"", "where":{"street":"x"},"places":[{"street":""}]}`, `{"a":-}`, `{"a":1e5,"b":1E-5,"c":1.0}`, `{"a":"` + "\x01" + `"}`,
	} {
		f.Add([]byte(seed))
	}
	allowed := []string{
		"functions.args_not_object", "functions.too_deep", "functions.nul_character", "functions.number_too_large",
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := check(text, nil)
		valid := json.Valid(text)
		switch {
		case err == nil:
			var v map[string]json.RawMessage
			if derr := json.Unmarshal(text, &v); derr != nil || v == nil {
				t.Fatalf("check takes %q, encoding/json says %v", text, derr)
			}
		case valid && utf8.Valid(text):
			ok := false
			for _, reason := range allowed {
				ok = ok || fault.Is(err, reason)
			}
			if !ok {
				t.Fatalf("check refuses %q: %v", text, err)
			}
		}
		full, serr := shapeOf(everythingType)
		if serr != nil {
			t.Fatal(serr)
		}
		if err := check(text, full); err == nil && !utf8.ValidString(string(text)) {
			t.Fatalf("check takes %q", text)
		} else if f := fault.From(err); f != nil && !utf8.ValidString(f.Message) {
			t.Fatalf("message %q", f.Message)
		}
	})
}
