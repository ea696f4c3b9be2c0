package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/core/payments"
)

// paid is an order of ten dollars, of which the given minor units may have been given back.
func paid(refunded int64) payments.Details {
	return payments.Details{
		ID: "order", Email: "ada@example.com", Total: 1000, Currency: "usd",
		Attempts: []payments.AttemptDetails{
			{ID: "first", State: "failed"},
			{ID: "second", State: "succeeded", Amount: 1000, Currency: "usd", RefundsSent: refunded},
		},
	}
}

func TestRefund_ReadsAmounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flags refundCommand
		want  int64 // -1: refused
	}{
		{refundCommand{}, 700},
		{refundCommand{Amount: "2.50"}, 250},
		{refundCommand{Amount: "250"}, 250},
		{refundCommand{Amount: "2.5"}, -1},
		{refundCommand{Amount: "0"}, -1},
		{refundCommand{Amount: "-1"}, -1},
		{refundCommand{Amount: "all"}, -1},
		{refundCommand{Expected: "3"}, 700},
		{refundCommand{Expected: "three"}, -1},
	} {
		got, err := c.flags.request(paid(300))
		if (err != nil) != (c.want < 0) || err == nil && (got.Amount != c.want || got.PaymentID != "second") {
			t.Errorf("%+v: %+v %v", c.flags, got, err)
		}
		if err != nil && !fault.HasCode(err, fault.Invalid) {
			t.Errorf("%+v: %v is not wrong usage", c.flags, err)
		}
	}
}

// What a person was shown must still be so when the refund is made; a script says what it expects.
func TestRefund_GuardsAgainstOldPages(t *testing.T) {
	t.Parallel()
	asked, _ := refundCommand{}.request(paid(300))
	if asked.ExpectedRefunded == nil || *asked.ExpectedRefunded != 300 {
		t.Errorf("%+v", asked)
	}
	script, _ := refundCommand{Yes: true}.request(paid(300))
	told, _ := refundCommand{Yes: true, Expected: "0.00"}.request(paid(300))
	if script.ExpectedRefunded != nil || told.ExpectedRefunded == nil || *told.ExpectedRefunded != 0 {
		t.Errorf("%+v %+v", script, told)
	}
}

func TestRefund_AsksForTheAmount(t *testing.T) {
	t.Parallel()
	for answer, good := range map[string]bool{"2.50\n": true, " 2.50 \n": true, "2.50": true, "250\n": false, "y\n": false, "\n": false, "": false} {
		var out bytes.Buffer
		env := &environment{in: strings.NewReader(answer), out: &out, terminal: true}
		err := env.confirm(paid(0), payments.RefundRequest{Amount: 250})
		if (err == nil) != good || !strings.Contains(out.String(), "2.50 USD of 10.00 USD") {
			t.Errorf("%q: %v\n%s", answer, err, out.String())
		}
	}
	env := &environment{in: strings.NewReader("2.50\n"), out: &bytes.Buffer{}}
	if err := env.confirm(paid(0), payments.RefundRequest{Amount: 250}); !fault.HasCode(err, fault.Invalid) {
		t.Errorf("without a terminal: %v", err)
	}
}

func TestRefund_TellsWhatIsNotDone(t *testing.T) {
	t.Parallel()
	for state, good := range map[string]bool{"succeeded": true, "pending": true, "failed": false, "unknown": false, "sent": false, "needs_review": false} {
		env := &environment{out: &bytes.Buffer{}}
		if err := env.refunded(payments.Refunded{State: state}); (err == nil) != good {
			t.Errorf("%s: %v", state, err)
		}
	}
}

func TestListCSV_HoldsMinorUnitsAndNoFormula(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := listCSV(&out, []payments.Listed{{
		ID: "p", OrderID: "o", CreatedAt: time.Unix(0, 0), Amount: 1000, Refunded: 5, Currency: "usd", Email: `=cmd|"x"@example.com`,
	}})
	want := `1970-01-01T00:00:00Z,p,o,,,,,1000,5,usd,,,,"'=cmd|""x""@example.com"`
	if err != nil || !strings.HasSuffix(out.String(), "email\n"+want+"\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestFail_ExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), exitError},
		{fault.Argument("cli.x", "x", "x"), exitUsage},
		{fault.New(fault.NotConfigured, "config.x", "x"), exitConfig},
		{fault.New(fault.DatabaseUnavailable, "app.x", "x"), exitDatabase},
		{fault.New(fault.Unavailable, "cluster.x", "x"), exitDatabase},
		{fault.New(fault.Incompatible, "adoption.layout", "x"), exitDatabase},
		{fault.New(fault.BadRequest, "adoption.cut_off", "x"), exitError},
		{fault.New(fault.NotFound, "payments.no_payment", "x"), exitError},
		{fmt.Errorf("psql: %w", exitStatus(7)), 7},
	} {
		env := &environment{errs: &bytes.Buffer{}}
		if got := env.fail(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

// The master key of a folder is for its own server.
func TestOwn(t *testing.T) {
	t.Parallel()
	conf := &config.Config{PublicURL: "https://shop.example.com"}
	for server, want := range map[string]bool{
		"": true, "http://localhost:3000": true, "http://127.0.0.1:3000/": true, "http://[::1]:3000": true, "https://shop.example.com/": true,
		"http://shop.example.com": false, "https://other.example.com": false, "http://localhost.example.com": false, "http://127.0.0.1@example.com": false,
		"https://shop.example.com.evil.example": false,
	} {
		if got := own(server, conf); got != want {
			t.Errorf("%s: %v", server, got)
		}
	}
}

func TestValue_MayHaveLines(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"one": "one", "one\n": "one", "one\r\n": "one", "one\ntwo\n": "one\ntwo", "one\n\n": "one\n", "": "", "\n": ""} {
		env := &environment{in: strings.NewReader(in)}
		if got, err := env.value(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
