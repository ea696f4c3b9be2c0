package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"crema/server/testkit"
)

func TestMain(m *testing.M) {
	if run := childOf(os.Getenv(roleVariable)); run != nil {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// The long run is `make chaos`. This one meets every failpoint once.
func TestChaos_Short(t *testing.T) {
	o := long().short()
	o.seed, o.binary = 2, testkit.Binary(t)
	var out strings.Builder
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, point := range failpoints {
		if !strings.Contains(out.String(), "kill: "+point) {
			t.Errorf("the server was never killed at %s\n%s", point, out.String())
		}
	}
}

func TestPlan_TheSameSeedIsTheSamePlan(t *testing.T) {
	t.Parallel()
	plan := func(seed uint64) string {
		var b strings.Builder
		for i := range 200 {
			fmt.Fprintln(&b, killPlan(seed, i, false), rulePlan(seed, i), databasePlan(seed, i), pick(stream(seed, "shopper", i), wishes()).name)
		}
		return b.String()
	}
	if first := plan(7); first != plan(7) || first == plan(8) {
		t.Error("the plan is not the seed's")
	}
}

// The checker must see what it is there for.
func TestChecker_SeesEveryKindOfViolation(t *testing.T) {
	t.Parallel()
	paid := paymentRow{ID: "p1", State: "succeeded", ChargeID: "ch_1", Amount: 1000, Currency: "usd", Email: "a", OrderStatus: "paid", Catalogue: 1000, Records: 1, Recorded: 1000}
	took := move{Op: "charge", Amount: 1000, Currency: "usd", ObjectID: "ch_1", ChargeID: "ch_1"}
	second := took
	second.ObjectID, second.ChargeID = "ch_2", "ch_2"
	told := func(v verdict) *purchase {
		return &purchase{email: "a", calls: 1, past: []event{{call: 1, what: "charge", token: "tok_visa", verdict: v}}}
	}
	change := func(f func(*paymentRow)) []paymentRow { r := paid; f(&r); return []paymentRow{r} }
	for _, c := range []struct {
		want  string
		rows  []paymentRow
		moves []move
		past  *purchase
	}{
		{"", []paymentRow{paid}, []move{took}, told(okay)},
		{"I1", []paymentRow{paid}, []move{took, second}, told(okay)},
		{"I2", nil, []move{took}, told(info)},
		{"I2", []paymentRow{paid}, nil, told(info)},
		{"I2", change(func(r *paymentRow) { r.Records = 2 }), []move{took}, told(okay)},
		{"I3", change(func(r *paymentRow) { r.TokenHash = hashOf("tok_visa") }), []move{took}, told(failed)},
		{"I4", change(func(r *paymentRow) { r.State = "voided" }), nil, told(okay)},
		{"I5", []paymentRow{paid}, []move{took, {Op: "refund", Amount: 1, ChargeID: "ch_1"}}, told(okay)},
		{"I6", change(func(r *paymentRow) { r.Catalogue = 2000 }), []move{took}, told(okay)},
		{"I7", change(func(r *paymentRow) { r.State = "unknown" }), nil, told(info)},
	} {
		b := &books{moves: c.moves, payments: c.rows, chargeOf: map[string]string{"ch_1": "p1", "ch_2": "p1"}}
		found := strings.Join(compare(b, []*purchase{c.past}), "\n")
		if c.want == "" && found != "" || !strings.Contains(found, c.want) {
			t.Errorf("want %q, found %q", c.want, found)
		}
	}
}
