package browser

import (
	"strings"
	"testing"

	"crema/server/testkit"
)

// The main job, end to end, on real parts: the binary with its private PostgreSQL and its sandbox, a
// real browser, psql.
func TestReal_AShopperPaysAndTheOperatorSeesTheRow(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t))
	b := open(t, s.URL)
	b.wait("!document.getElementById('pay-here').disabled")

	b.click("#pay-here")
	b.enterCard("4000000000000002")
	b.wait(alertShown)
	b.wantContains(alertText, "declined", "not been charged")
	if n := rows(t, s, "select count(*) from payment_record"); n != "0" {
		t.Errorf("a declined card left %s rows", n)
	}

	b.click("#pay-here")
	b.enterCard("4242424242424242")
	b.wait(receiptShown)
	b.wantContains(shownText, "Kenya AA", "$10.00", "ending in 4242")
	got := rows(t, s, "select product, amount, amount_minor, currency, receipt_email, status, charge_id like 'ch\\_%' from payment_record")
	if want := "Kenya AA|10|1000|usd|ada@example.com|succeeded|t"; got != want {
		t.Errorf("psql shows %q, want %q", got, want)
	}
	for _, secret := range []string{"4242424242424242", "4242 4242", "tok_1", s.MasterKey, "sk_test_"} {
		if strings.Contains(s.Log(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// An old page that includes the popup and knows nothing of this server but its address.
func TestReal_AnUnmodifiedOldPageTakesAToken(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t))
	b := open(t, s.URL+"/static/index.html")
	var config struct{ Key string }
	b.json("fetch('/payments/config.json').then(r => r.json())", &config)
	b.text(`new Promise(done => { const s = document.createElement('script'); s.src = '/stripe/checkout.js'; s.onload = () => done('ok'); document.head.append(s) })`)
	b.text(`(window.got = null, window.handler = StripeCheckout.configure({key: '` + config.Key + `', token: t => { window.got = t }}), handler.open({name: 'Old shop', amount: 1000}), 'ok')`)
	b.enterCard("4242424242424242")
	b.wait("window.got")
	b.wantContains("window.got.id", "tok_1")
	b.want("window.got.card.last4", "4242")
}

func rows(t *testing.T, s *testkit.Server, statement string) string {
	t.Helper()
	out, err := s.Run(t, "psql", "-At", "-c", statement)
	if err != nil {
		t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return out
}
