package wire_test

import (
	"bytes"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/core/payments/sandbox/wire"
)

func TestDecode_TakesEveryWayOfWriting(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]string{
		"":                        `{}`,
		"a=1&b=x%20y+z":           `{"a":"1","b":"x y z"}`,
		"a=1&a=2":                 `{"a":"2"}`,
		"a":                       `{"a":""}`,
		"a[b]=1&a%5Bc%5D=2":       `{"a":{"b":"1","c":"2"}}`,
		"expand[]=x&expand[]=y":   `{"expand":{"0":"x","1":"y"}}`,
		"expand[0]=x&expand[1]=y": `{"expand":{"0":"x","1":"y"}}`,
		"a[0][b][c]=1":            `{"a":{"0":{"b":{"c":"1"}}}}`,
		"a[][q]=2&a[][p][c]=x&a[][p][u]=1&a[][q]=1&a[][p][c]=y": `{"a":{"0":{"p":{"c":"x","u":"1"},"q":"2"},"1":{"p":{"c":"y"},"q":"1"}}}`,
		"a[][b]=1&a[][c]=2&a[][b]=3":                            `{"a":{"0":{"b":"1","c":"2"},"1":{"b":"3"}}}`,
		"&&a=1&":                                                `{"a":"1"}`,
		"a=1%262":                                               `{"a":"1\u00262"}`,
		"metadata[x.y]=1&metadata[z-0]=%F0%9F%8D%B5":            `{"metadata":{"x.y":"1","z-0":"🍵"}}`,
	} {
		got, err := wire.Decode(form)
		if err != nil {
			t.Errorf("%s: %v", form, err)
		}
		if diff := cmp.Diff(want, string(wire.Canonical(got))); diff != "" {
			t.Errorf("%s: %s", form, diff)
		}
	}
}

func TestDecode_RefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for _, form := range []string{
		"a[=1", "a[b=1", "a]=1", "[a]=1", "=1", "a[b]c=1", "a[[b]]=1", "a=1&a[b]=2", "a[b]=2&a=1", "a%ZZ=1", "a=%", "a=%00", "a=%FF",
		"a" + strings.Repeat("[b]", 9) + "=1", strings.Repeat("a=1&", 2001),
	} {
		_, err := wire.Decode(form)
		var e *wire.Error
		if !errors.As(err, &e) || e.Status != 400 || e.Message == "" {
			t.Errorf("%.40s: %v", form, err)
		}
	}
}

func TestParams_UnknownComesBeforeWrong(t *testing.T) {
	t.Parallel()
	form, err := wire.Decode("amount=x&card[number]=1&card[colour]=red")
	if err != nil {
		t.Fatal(err)
	}
	p := wire.NewParams(form)
	p.Int("amount")
	p.Group("card").Text("number")
	var e *wire.Error
	if err := p.Done(); !errors.As(err, &e) || e.Code != "parameter_unknown" || e.Param != "card[colour]" {
		t.Errorf("got %v", err)
	}
}

func TestParams_ListsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	var want []string
	form := ""
	for i := range 12 {
		want = append(want, string(rune('a'+i)))
		form += "&x[]=" + want[i]
	}
	decoded, err := wire.Decode(form)
	if err != nil {
		t.Fatal(err)
	}
	p := wire.NewParams(decoded)
	if got := p.List("x"); !slices.Equal(got, want) || p.Done() != nil {
		t.Errorf("got %v, %v", got, p.Done())
	}
}

// FuzzDecode: any bytes decode or are refused with a 400; what decodes stays the same when it is written
// again with every bracket and index spelled out.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"amount=1000&currency=usd&source=tok_visa", "expand[]=customer&expand[]=refunds.data", "a[][b]=1&a[][c]=2", "a%5B0%5D%5Bb%5D=1",
		"card[number]=4242424242424242&card[exp_month]=12", "a[=1", "a=1&a[b]=2", "%", "&=&", "a[][][]=1&a[][][]=2", "a[1]=x&a[]=y&a[]=z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := wire.Decode(raw)
		if err != nil {
			var e *wire.Error
			if !errors.As(err, &e) || e.Status != 400 {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		again, err := wire.Decode(spell("", form))
		if err != nil || !bytes.Equal(wire.Canonical(form), wire.Canonical(again)) {
			t.Fatalf("%q became %q, %v", wire.Canonical(form), wire.Canonical(again), err)
		}
		p := wire.NewParams(form)
		p.Int("amount")
		p.List("expand")
		p.Texts("metadata")
		p.Group("card").Required("number")
		_ = p.Done()
	})
}

func spell(prefix string, form map[string]*wire.Value) string {
	var out strings.Builder
	for k, v := range form {
		name := url.QueryEscape(k)
		if prefix != "" {
			name = prefix + "[" + name + "]"
		}
		if v.Kids != nil {
			out.WriteString(spell(name, v.Kids))
			continue
		}
		out.WriteString(name + "=" + url.QueryEscape(v.Text) + "&")
	}
	return out.String()
}
