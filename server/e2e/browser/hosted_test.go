package browser

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stripe/stripe-go/v76"

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
	"crema/server/testkit/browser"
)

// hostedCheckout is a sandbox's session, a shop on another origin that it returns to, and a browser on the
// hosted page that runs no scripts.
type hostedCheckout struct {
	*tab
	s    *sandboxtest.Server
	shop string
	cs   *stripe.CheckoutSession
}

func newHosted(t *testing.T) hostedCheckout {
	t.Helper()
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<!doctype html><title>Shop</title><p>back at "+r.URL.Path)
	}))
	t.Cleanup(shop.Close)
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	p := sandboxtest.SessionParams()
	p.CustomerEmail = nil
	p.SuccessURL, p.CancelURL = stripe.String(shop.URL+"/orders/7?cs={CHECKOUT_SESSION_ID}"), stripe.String(shop.URL+"/cancelled")
	cs, err := s.Client().CheckoutSessions.New(p)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, "about:blank")
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.goTo(cs.URL)
	return hostedCheckout{b, s, shop.URL, cs}
}

// pay fills the form with the keyboard alone.
func (h hostedCheckout) pay(email, number string) {
	h.t.Helper()
	h.press("#number")
	if email != "" {
		h.press("#email")
		h.keys(email + kb.Tab)
	}
	h.keys(number + kb.Tab + "12/40" + kb.Tab + "123" + kb.Enter)
}

func (h hostedCheckout) wantPaid() {
	h.t.Helper()
	h.wait("location.pathname === '/orders/7'")
	h.want("location.href", h.shop+"/orders/7?cs="+h.cs.ID)
	cs, err := h.s.Client().CheckoutSessions.Get(h.cs.ID, nil)
	if err != nil || cs.PaymentStatus != "paid" {
		h.t.Errorf("the session is %v, %v", cs, err)
	}
}

// narrow fails when the page is wider than a small phone.
func (h hostedCheckout) narrow() {
	h.t.Helper()
	browser.Resize(h.t, h.ctx, 320, 700)
	h.want("document.documentElement.scrollWidth <= 320", "true")
	h.want("[...document.querySelectorAll('a,button,input:not([type=hidden]),summary')].every(e => e.getBoundingClientRect().height >= 24)", "true")
	browser.Resize(h.t, h.ctx, 1280, 900)
}

func TestHosted_PaysWithoutScripts(t *testing.T) {
	t.Parallel()
	h := newHosted(t)
	h.wantContains("document.body.innerText", "SANDBOX – no real money moves, use test cards", "$35.00", "Beans <1 kg>", "2 × $14.50", "Pay $35.00")
	h.want("document.title.startsWith('Sandbox')", "true")
	h.want("[...document.querySelectorAll('input')].every(i => i.labels.length === 1)", "true")
	h.narrow()
	h.shoot("hosted-open")
	h.pay("ada@example.com", "4000000000000002")
	h.wait("document.querySelector('[role=alert]')")
	h.wantContains("document.querySelector('[role=alert]').innerText", "declined", "not been charged")
	h.want("document.querySelector('#email').value + '|' + document.querySelector('#number').value", "ada@example.com|")
	h.shoot("hosted-declined")
	h.narrow()
	h.pay("", "4242424242424242")
	h.wantPaid()
	h.goTo(h.cs.URL)
	h.wantContains("document.body.innerText", "This checkout is paid")
	h.shoot("hosted-paid")
	h.press(".back")
	h.wait("document.body.innerText.includes('Receipt')")
	h.shoot("hosted-receipt")
	h.narrow()
}

func TestHosted_AsksTheBank(t *testing.T) {
	t.Parallel()
	h := newHosted(t)
	h.pay("ada@example.com", "4000000000003220")
	h.wait("document.querySelector('[value=fail]')")
	h.shoot("hosted-bank")
	h.narrow()
	h.press("[value=fail]")
	h.wait("document.querySelector('[role=alert]')")
	h.wantContains("document.querySelector('[role=alert]').innerText", "could not confirm", "not been charged")
	h.pay("ada@example.com", "4000000000003220")
	h.wait("document.querySelector('[value=complete]')")
	h.press("[value=complete]")
	h.wantPaid()
}

func TestHosted_CancelAndExpiry(t *testing.T) {
	t.Parallel()
	h := newHosted(t)
	h.press(".back")
	h.wait("location.pathname === '/cancelled'")
	if _, err := h.s.Client().CheckoutSessions.Expire(h.cs.ID, nil); err != nil {
		t.Fatal(err)
	}
	h.goTo(h.cs.URL)
	h.wantContains("document.body.innerText", "expired", "You have not been charged")
	h.shoot("hosted-expired")
	h.narrow()
	if moves, err := h.s.Sandbox.Journal(t.Context(), 0); err != nil || len(moves) != 0 {
		t.Errorf("something was charged: %+v %v", moves, err)
	}
	if strings.Contains(h.text("document.documentElement.outerHTML"), "<script") {
		t.Error("the page has a script")
	}
}
