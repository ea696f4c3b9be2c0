package jsonfast

import (
	"encoding/json"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type base struct {
	Inner string `json:"inner"`
	Both  int
}

type named string

// all has what arguments of functions are made of.
type all struct {
	base
	*Deep
	Text    string            `json:"text"`
	Named   named             `json:"named"`
	Yes     bool              `json:"yes"`
	Small   int8              `json:"small"`
	Count   int               `json:"count"`
	Large   uint64            `json:"large"`
	Float   float64           `json:"float"`
	Half    float32           `json:"half"`
	Pointer *int              `json:"pointer"`
	Twice   **string          `json:"twice"`
	List    []string          `json:"list"`
	Fixed   [2]int            `json:"fixed"`
	Bytes   []byte            `json:"bytes"`
	Map     map[string]int    `json:"map"`
	Numbers map[int]bool      `json:"numbers"`
	Any     any               `json:"any"`
	Raw     json.RawMessage   `json:"raw"`
	Number  json.Number       `json:"number"`
	Quoted  int               `json:"quoted,string"`
	Time    time.Time         `json:"time"`
	Long    time.Duration     `json:"long"`
	Big     *big.Int          `json:"big"`
	Own     own               `json:"own"`
	Texts   map[named]*[]base `json:"texts"`
	Left    int               `json:"-"`
	Zero    int               `json:"zero,omitzero"`
}

// Deep is embedded.
type Deep struct {
	Both int
	Deep string
}

// own decodes itself.
type own struct{ text string }

// UnmarshalJSON implements json.Unmarshaler.
func (o *own) UnmarshalJSON(text []byte) error { o.text = string(text); return nil }

var texts = []string{
	``, ` `, `null`, `{}`, ` {"text":"a"} `, `{"text":"a"}x`, `{"TEXT":"a","teXt":"b"}`, `{"text":"a","text":"b"}`, `{"text":null,"count":null,"yes":null}`,
	`{"text":"\ud800\u00e9\u0000\"\\"}`, "{\"text\":\"\xff\"}", `{"text":1}`, `{"count":"1"}`, `{"count":1.0}`, `{"count":1e2}`, `{"count":-0}`, `{"small":128}`,
	`{"large":-1}`, `{"large":18446744073709551615}`, `{"large":18446744073709551616}`, `{"float":1e400}`, `{"half":1e39}`, `{"float":-0.0}`, `{"float":01}`,
	`{"pointer":3,"twice":"x"}`, `{"pointer":null}`, `{"list":["a",null]}`, `{"list":null}`, `{"list":{}}`, `{"fixed":[1]}`, `{"fixed":[1,2,3]}`, `{"fixed":[]}`,
	`{"bytes":"aGk="}`, `{"bytes":"aGk"}`, `{"bytes":[104,105]}`, `{"bytes":"a\nGk="}`, `{"map":{"a":1,"a":2}}`, `{"numbers":{"1":true,"x":false}}`, `{"numbers":{"-01":true}}`,
	`{"any":{"a":[1,2.5,"x",null,true,{"b":1e3}]}}`, `{"any":9007199254740993}`, `{"raw": [1, 2 ] }`, `{"raw":null}`, `{"number":12.50}`, `{"number":"12"}`, `{"number":"x"}`,
	`{"quoted":"7"}`, `{"quoted":7}`, `{"quoted":"x"}`, `{"quoted":null}`, `{"time":"2026-01-02T03:04:05.6Z"}`, `{"time":"2026-01-02"}`, `{"time":"2026-01-02T03:04:05,6Z"}`,
	`{"long":1000}`, `{"long":"1s"}`, `{"big":123456789012345678901234567890}`, `{"big":"1"}`, `{"own":[1, 2]}`, `{"own":null}`, `{"texts":{"a":[{"inner":"x"}],"b":null}}`,
	`{"Both":1,"inner":"i","Deep":"d"}`, `{"Left":1,"-":2,"hidden":3}`, `{"zero":1}`, `{"unknown":{"deep":[1]}}`, `{"unknown":[}`, `[1]`, `"x"`, `1`, `true`, `{"text":"a",}`,
	`{"any":[[[[[[[[[[1]]]]]]]]]]}`, `{"text":"tab	inside"}`, `{"count":99999999999999999999}`, `{"a":1 "b":2}`, "\ufeff{}",
}

func same(t *testing.T, text []byte) {
	t.Helper()
	if got, want := Valid(text), json.Valid(text); got != want {
		t.Errorf("%.100q: valid is %v, wanted %v", text, got, want)
	}
	for _, kind := range []reflect.Type{reflect.TypeFor[all](), reflect.TypeFor[any](), reflect.TypeFor[map[string]json.RawMessage]()} {
		got, want := reflect.New(kind), reflect.New(kind)
		err, wanted := Unmarshal(text, got.Interface()), json.Unmarshal(text, want.Interface())
		if (err == nil) != (wanted == nil) || err != nil && (err.Error() != wanted.Error() || reflect.TypeOf(err) != reflect.TypeOf(wanted)) {
			t.Errorf("%.100q as %v: %v, wanted %v", text, kind, err, wanted)
		}
		if err == nil && !reflect.DeepEqual(want.Elem().Interface(), got.Elem().Interface()) {
			t.Errorf("%.100q as %v: %s", text, kind, cmp.Diff(want.Elem().Interface(), got.Elem().Interface(), cmp.Exporter(func(reflect.Type) bool { return true })))
		}
	}
}

func TestUnmarshal_IsThatOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		same(t, []byte(text))
	}
	for _, depth := range []int{9_000, 10_000, 10_001, 20_000} {
		nested := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		same(t, []byte(nested))
		same(t, []byte(`{"any":`+nested+`}`))
		same(t, []byte(`{"unknown":`+nested+`}`))
	}
	for _, v := range []any{nil, all{}, (*all)(nil)} {
		if err, wanted := Unmarshal([]byte(`{}`), v), json.Unmarshal([]byte(`{}`), v); err == nil || err.Error() != wanted.Error() {
			t.Errorf("into %T: %v, wanted %v", v, err, wanted)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(same)
}
