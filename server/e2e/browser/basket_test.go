package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"crema/server/testkit/browser"
)

const (
	atCheckout   = `{"result":{"status":"checkout","order_id":"o1","url":"/hosted","status_url":"/orders/o1?t=view"}}`
	alreadyPaid  = `{"result":{"status":"paid","order_id":"o1","status_url":"/orders/o1?t=view"}}`
	atProcessing = `{"result":{"status":"processing","order_id":"o1","status_url":"/orders/o1?t=view","error":{"code":"processing","message":"We are confirming your payment.","retryable":false}}}`

	noticeText = "document.getElementById('notice').innerText"
	statusText = "document.getElementById('status').textContent"
	onHosted   = "location.pathname === '/hosted' && document.readyState === 'complete'"
	onOrder    = "location.pathname === '/orders/o1' && document.readyState === 'complete'"
	shopReady  = "!document.getElementById('pay').disabled"
	hostedKey  = "JSON.parse(sessionStorage['crema.checkout'] || '{}').orderKey || ''"
)

func refused(code string) reply {
	return reply{body: `{"result":{"status":"declined","error":{"code":"` + code + `","message":"m","retryable":true}}}`}
}

// newCheckout starts a shopfront that answers create_checkout with the replies in turn.
func newCheckout(t *testing.T, replies ...reply) *shopfront {
	t.Helper()
	s := newShopfront(t)
	s.checkouts = replies
	s.order = "open"
	s.pages = map[string]string{"/hosted": "<!doctype html><h1>Secure checkout</h1>", "/orders/o1": "<!doctype html><h1>The order</h1>"}
	return s
}

func TestBasket_SeveralBeansAndTheirTotal(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: atCheckout})
	b := openShop(t, s)
	b.want(bags, "1,0,0")
	more := func(n int) string { return fmt.Sprintf(".bean:nth-child(%d) .step:last-child", n) }
	b.click(more(1))
	b.click(more(3))
	b.want(bags, "2,0,1")
	b.want("document.getElementById('total').value", "$30.00")
	b.wantContains("document.getElementById('till-items').innerText", "2 × Kenya AA, 200 g", "$20.00", "1 × Ethiopia, 200 g")
	b.want("document.getElementById('pay-here').disabled", "true")
	b.wantContains("document.getElementById('here').innerText", "one bag at a time")
	b.shoot("basket")

	b.do("reload", chromedp.Reload())
	b.wait(shopReady)
	b.want(bags, "2,0,1")
	b.do("type an e-mail", chromedp.SendKeys(chromedp.CSS("#email"), "ada@example.com"))
	b.click("#pay")
	b.wait(onHosted)
	calls := s.seenCheckouts()
	if len(calls) != 1 {
		t.Fatalf("%d calls of create_checkout, want 1", len(calls))
	}
	if got := fmt.Sprintf("%+v", calls[0].Args); !strings.Contains(got, "[{Product:kenya-aa Quantity:2} {Product:ethiopia Quantity:1}] Email:ada@example.com") || len(calls[0].Args.OrderKey) != 36 {
		t.Errorf("create_checkout got %s", got)
	}
}

func TestBasket_WhatIsTyped(t *testing.T) {
	t.Parallel()
	b := openShop(t, newCheckout(t, reply{body: atCheckout}))
	for typed, want := range map[string]string{"5": "5", "500": "99", "-3": "0", "2.7": "2", "": "0", "e": "0", "1e1": "10"} {
		b.text("void document.querySelector('input[name=bags]').select()")
		b.keys(kb.Backspace + typed + kb.Tab)
		if got := b.text("document.querySelector('input[name=bags]').value"); got != want {
			t.Errorf("%q became %s bags, want %s", typed, got, want)
		}
	}
}

func TestBasket_EmptyAndMixed(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: atCheckout})
	s.config = strings.Replace(s.config, `"name":"Ethiopia","currency":"usd"`, `"name":"Ethiopia","currency":"eur"`, 1)
	b := openShop(t, s)
	b.click(".bean:nth-child(3) .step:last-child")
	b.want("document.getElementById('total').value", "–")
	b.click("#pay")
	b.wait(alertShown)
	b.wantContains(alertText, "different currencies")
	b.click(".bean:nth-child(1) .step")
	b.want("document.getElementById('total').value", "€10.00")
	b.click(".bean:nth-child(3) .step")
	b.want("document.getElementById('till-empty').hidden", "false")
	b.click("#pay")
	b.wait("document.getElementById('alert').innerText.includes('empty')")
	if n := len(s.seenCheckouts()); n != 0 {
		t.Errorf("%d calls of create_checkout, want none", n)
	}
}

func TestCheckout_DoubleClickOpensOne(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := newCheckout(t, reply{body: atCheckout, hold: hold})
	b := openShop(t, s)
	b.text("void (document.getElementById('pay').click(), document.getElementById('pay').click(), document.getElementById('order').requestSubmit())")
	b.wait("document.getElementById('pay').disabled")
	b.wantContains(statusText, "Taking you to secure checkout")
	b.wait(statusText + ".includes('Still working')")
	b.shoot("opening")
	close(hold)
	b.wait(onHosted)
	if n := len(s.seenCheckouts()); n != 1 {
		t.Errorf("%d calls of create_checkout, want 1", n)
	}
}

func TestCheckout_LostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{lost: true}, reply{status: 502, body: "<p>no</p>"}, reply{body: atCheckout})
	b := openShop(t, s)
	b.click("#pay")
	b.wait(alertShown)
	b.wantContains(alertText, "did not answer", "You have not been charged.", "same order")
	b.shoot("unanswered")
	b.click("#pay")
	b.wait(onHosted)
	calls := s.seenCheckouts()
	if len(calls) != 3 || calls[0].Args.OrderKey != calls[2].Args.OrderKey {
		t.Errorf("calls: %+v", calls)
	}
}

func TestCheckout_RefusalsAreExplained(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, refused("payments_paused"), refused("too_many_attempts"), refused("something_new"), reply{status: 400, body: `{"error":{"name":"InvalidArgument","code":108,"message":"items is missing"}}`})
	b := openShop(t, s)
	key := b.text("(document.getElementById('pay').click(), '')") + b.text("new Promise((done) => setTimeout(() => done("+hostedKey+"), 0))")
	for _, says := range []string{"paused for a moment", "Too many cards", "could not be opened", "items is missing"} {
		b.wait("document.getElementById('alert').innerText.includes(" + quote(says) + ")")
		b.wantContains(alertText, "You have not been charged.", "Reference")
		b.want("document.activeElement.id", "alert")
		if says != "items is missing" {
			b.click("#pay")
		}
	}
	calls := s.seenCheckouts()
	if calls[0].Args.OrderKey != key || calls[1].Args.OrderKey != key || calls[2].Args.OrderKey == key {
		t.Errorf("order keys: %+v; the key changes only after what can never be paid", calls)
	}
}

func TestCheckout_PaidAndProcessingGoToTheOrder(t *testing.T) {
	t.Parallel()
	for body, sameKey := range map[string]bool{alreadyPaid: false, atProcessing: true} {
		s := newCheckout(t, reply{body: body})
		s.order = map[bool]string{true: "processing", false: "paid"}[sameKey]
		b := openShop(t, s)
		b.click("#pay")
		b.wait(onOrder)
		b.goTo(s.URL)
		b.wait(shopReady)
		if same := b.text(hostedKey) == s.seenCheckouts()[0].Args.OrderKey; same != sameKey {
			t.Errorf("%s: the order key is kept: %t, want %t", body, same, sameKey)
		}
		if sameKey {
			b.wait(noticeText + ".includes('Do not pay again')")
		} else {
			b.want(bags, "0,0,0")
		}
	}
}

func TestCheckout_BackButtonOffersToContinue(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: atCheckout})
	b := openShop(t, s)
	b.click("#pay")
	b.wait(onHosted)
	b.do("back", chromedp.NavigateBack())
	b.wait(shopReady + " && " + noticeText + ".includes('still open')")
	b.want(bags, "1,0,0")
	b.shoot("continue")
	b.click("#continue")
	b.wait(onHosted)
	calls := s.seenCheckouts()
	if len(calls) != 2 || calls[0].Args.OrderKey != calls[1].Args.OrderKey {
		t.Errorf("calls: %+v", calls)
	}
}

func TestCheckout_BackAfterPayingShowsTheReceipt(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: atCheckout})
	b := openShop(t, s)
	b.click("#pay")
	b.wait(onHosted)
	s.change(func() { s.order = "paid" })
	b.do("back", chromedp.NavigateBack())
	b.wait(shopReady + " && " + noticeText + ".includes('already paid')")
	b.want("document.querySelector('#notice a').href", s.URL+"/orders/o1?t=view")
	b.want(bags, "0,0,0")
	b.shoot("already-paid")
	if next := b.text(hostedKey); next == s.seenCheckouts()[0].Args.OrderKey {
		t.Error("the order key of a paid order is used again")
	}
	b.click("#notice a")
	b.wait(onOrder)
}

func TestCheckout_CancelledOrderStartsAgainUnderItsKey(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: atCheckout})
	b := openShop(t, s)
	b.click("#pay")
	b.wait(onHosted)
	s.change(func() { s.order = "cancelled" })
	b.goTo(s.URL)
	b.wait(shopReady)
	b.want(noticeText, "")
	b.want(bags, "1,0,0")
	b.click("#pay")
	b.wait(onHosted)
	if calls := s.seenCheckouts(); calls[0].Args.OrderKey != calls[1].Args.OrderKey {
		t.Errorf("calls: %+v", calls)
	}
}

func TestCheckout_AnUnansweredOrderThatWasShownIsNotCalledUncharged(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: atCheckout}, reply{lost: true})
	b := openShop(t, s)
	b.click("#pay")
	b.wait(onHosted)
	b.goTo(s.URL)
	b.wait(shopReady + " && " + noticeText + ".includes('still open')")
	b.click("#pay")
	b.wait(alertShown)
	b.wantContains(alertText, "do not pay again")
	if text := b.text(alertText); strings.Contains(text, "have not been charged") {
		t.Errorf("the page claims that nothing was charged: %s", text)
	}
}

func TestCheckout_WithoutTheCardForm(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: atCheckout})
	s.config = strings.NewReplacer(`"popup":"/stripe/checkout.js"`, `"popup":""`, `"mode":"sandbox"`, `"mode":"live"`, "Sandbox – no real money moves. Pay with a test card.", "").Replace(s.config)
	b := open(t, s.URL)
	b.wait(shopReady)
	b.want("document.getElementById('here').hidden", "true")
	b.want("typeof window.StripeCheckout", "undefined")
	b.want("document.title", "Crema Coffee")
	browser.Resize(t, b.ctx, 320, 700)
	b.click("#pay")
	b.wait(onHosted)
}

// TestCheckout_BackFromTheBrowsersCache plays the event of a page that comes back as it was left: waiting.
func TestCheckout_BackFromTheBrowsersCache(t *testing.T) {
	t.Parallel()
	s := newCheckout(t, reply{body: strings.Replace(atCheckout, "/hosted", "/hosted#", 1)})
	b := openShop(t, s)
	b.text(`new Promise((done) => { // the checkout is this page then, so that leaving for it changes nothing
		history.pushState({}, '', '/hosted');
		document.getElementById('pay').click();
		setTimeout(done, 500);
	})`)
	b.wait("document.getElementById('pay').disabled")
	s.change(func() { s.order = "paid" })
	b.text("void dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
	b.want(shopReady, "true") // at once
	b.wait(shopReady + " && " + noticeText + ".includes('already paid')")
}
