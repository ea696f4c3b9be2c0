package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"crema/server/testkit/browser"
)

const (
	receiptShown    = "!document.getElementById('receipt').hidden"
	confirmingShown = "!document.getElementById('confirming').hidden"
	alertShown      = "document.getElementById('alert').innerText !== ''"
	alertText       = "document.getElementById('alert').innerText"
	popupStill      = popupOpen + " && document.querySelector('iframe').contentDocument.getAnimations().length === 0"
	orderKey        = "JSON.parse(sessionStorage['crema.purchase'] || '{}').orderKey || ''"
	bags            = "Array.from(document.querySelectorAll('input[name=bags]'), (el) => el.value).join()"
	shownText       = "document.body.innerText.replaceAll(/\\s+/g, ' ')"
)

func TestShop_PaysAndShowsReceipt(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	b := openShop(t, s)
	b.want("document.title", "Sandbox – Crema Coffee")
	b.wantContains(shownText, "no real money moves", "4242 4242 4242 4242", "$10.00", "200 g")
	b.shoot("shop")
	key := b.text(orderKey)
	b.click("#pay-here")
	b.wait(popupStill)
	b.shootViewport("popup")
	b.enterCard("4242424242424242")
	b.wait(receiptShown)
	b.shoot("receipt")
	b.want("document.activeElement.id", "receipt-title")
	b.wantContains(shownText, "Kenya AA, 200 g", "$10.00 USD", "Visa ending in 4242", "ord_7QK2M4", "ch_sandbox_1", "ada@example.com", "no real money moved")
	b.want("document.getElementById('receipt-link').getAttribute('href')", s.URL+"/orders/ord_7QK2M4?t=view")
	b.want("document.querySelector('#receipt time').title", "2026-11-21 09:30:00 UTC")

	paid := s.seenPayments()
	if len(paid) != 1 {
		t.Fatalf("%d calls of process_payment, want 1", len(paid))
	}
	got := paid[0].Args
	if got.Product != "Kenya AA" || got.Price != 1000 || got.Token != "tok_1Aa" || got.Email != "ada@example.com" || got.OrderKey != key || len(key) != 36 {
		t.Errorf("process_payment got %+v, with the page's order key %q", got, key)
	}

	b.do("reload", chromedp.Reload())
	b.wait(receiptShown)
	b.click("#again")
	b.wait("!document.getElementById('order').hidden")
	if next := b.text(orderKey); next == key {
		t.Error("the order key of a paid order is used again")
	}
	if n := len(s.seenPayments()); n != 1 {
		t.Errorf("%d calls of process_payment after a reload of the receipt, want 1", n)
	}
}

func TestShop_DeclineSaysNotCharged(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, failed("card_declined", "Your card was declined."), reply{body: paid})
	b := payWith(t, s, "4000000000000002")
	b.wait(alertShown)
	b.shoot("decline")
	b.want("document.activeElement.id", "alert")
	b.wantContains(alertText, "Your card was declined.", "You have not been charged.", "another card", "ord_7QK2M4")
	b.want("document.getElementById('pay-here').disabled", "false")

	b.click("#pay-here")
	b.enterCard("4242424242424242")
	b.wait(receiptShown)
	calls := s.seenPayments()
	if len(calls) != 2 || calls[0].Args.OrderKey == calls[1].Args.OrderKey {
		t.Errorf("the second try must be a new order: %+v", calls)
	}
}

// judged is what the page makes of an answer of process_payment: kind, and the sentences for the shopper.
func (b *tab) judged(result string, repeated bool) string {
	b.t.Helper()
	return b.text(fmt.Sprintf("import('/outcomes.js').then((m) => { const o = m.judgeResult(%s, %t); return [o.kind, o.what, o.next].join('|'); })", result, repeated))
}

func TestShop_EveryFailureIsExplained(t *testing.T) {
	t.Parallel()
	b := openShop(t, newShopfront(t))
	for _, code := range []string{
		"card_declined", "insufficient_funds", "expired_card", "incorrect_cvc", "incorrect_number", "incorrect_zip", "processing_error",
		"authentication_required", "token_already_used", "price_changed", "payments_unavailable", "product_not_found", "invalid_email",
		"invalid_token", "invalid_order_key", "order_conflict", "voided",
	} {
		got := b.judged(`{results: 'failed', error: {code: '`+code+`'}}`, false)
		if parts := strings.Split(got, "|"); len(parts) != 3 || parts[0] != "failed" || parts[1] == "" || parts[2] == "" {
			t.Errorf("%s is judged %q", code, got)
		}
	}
	if got := b.judged(`{results: 'failed', error: {code: 'something_new', message: 'Why.', retryable: true}}`, false); got != "failed|Why.|You can try again." {
		t.Errorf("a new code that allows another try is judged %q", got)
	}
}

func TestShop_WhatProvesNothingIsADoubt(t *testing.T) {
	t.Parallel()
	b := openShop(t, newShopfront(t))
	for _, result := range []string{
		"undefined", "null", "'ok'", "{}", "{results: 'Skygear failed'}", "{results: 'failed'}", "{results: 'failed', error: {}}",
		"{results: 'failed', error: {code: 'zork'}}", "{results: 'failed', error: {code: 'processing', retryable: true}}", "{results: 'failed', error: {code: 'constructor'}}",
		"{result: []}", "{result: [null]}", "{result: [{_type: 'error', message: 'no'}]}", "{result: [{_id: 'payment_record/x', status: 'pending'}]}",
	} {
		if got := b.judged(result, false); got != "unknown||" {
			t.Errorf("%s is judged %q, want a doubt", result, got)
		}
	}
	if got := b.judged("{results: 'failed', error: {code: 'payments_unavailable', retryable: true}}", true); !strings.HasPrefix(got, "unknown") {
		t.Errorf("a shop that takes no payments now says nothing about the one before: %q", got)
	}
	if got := b.judged("{results: 'failed', error: {code: 'payments_unavailable', order_id: 'o'}}", true); !strings.HasPrefix(got, "failed") {
		t.Errorf("an order that the shop knows to have failed is judged %q", got)
	}
	if got := b.judged("{result: [{_id: 'payment_record/x', product: 'Kenya AA'}]}", false); !strings.HasPrefix(got, "paid") {
		t.Errorf("the old function's success is judged %q", got)
	}
}

func TestShop_NewPriceIsShown(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, failed("price_changed", ""))
	b := openShop(t, s)
	s.change(func() { s.config = strings.Replace(s.config, `"unit_amount":1000`, `"unit_amount":1250`, 1) })
	b.click("#pay-here")
	b.enterCard("4242424242424242")
	b.wait(alertShown)
	b.wantContains(alertText, "The price has changed.", "You have not been charged.")
	b.want("document.getElementById('total').value", "$12.50")
}

// doubts are answers that leave it open whether the card was charged.
var doubts = map[string]reply{
	"lost":       {lost: true},
	"500":        {status: 500, body: `{"error":{"name":"UnexpectedError","code":10000,"message":"internal error"}}`},
	"429":        {status: 429, body: `{"error":{"name":"ResponseTimeout","code":122,"message":"too many requests"}}`},
	"processing": {body: `{"result":{"results":"failed","error":{"code":"processing","message":"","retryable":false,"order_id":"ord_7QK2M4","status_url":"/orders/x"}}}`},
}

func TestShop_DoubtIsNeverCalledNotCharged(t *testing.T) {
	t.Parallel()
	for name, doubt := range doubts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShopfront(t, doubt)
			b := payWith(t, s, "4242424242424242")
			b.wait(confirmingShown)
			b.wantContains(shownText, "We are confirming your payment", "Do not pay again.", "Reference")
			if text := b.text(shownText); strings.Contains(text, "not been charged") || strings.Contains(strings.ToLower(text), "not charged") {
				t.Errorf("the page claims that nothing was charged: %s", text)
			}
			b.want("document.getElementById('order').hidden", "true")
			if name == "lost" {
				b.shoot("confirming")
			}
			s.change(func() { s.replies = []reply{{body: paid}} })
			b.text("void (document.getElementById('check').disabled || document.getElementById('check').click())")
			b.wait(receiptShown)
			calls := s.seenPayments()
			for _, call := range calls[1:] {
				if call.Args != calls[0].Args {
					t.Errorf("a check asked %+v, after %+v", call.Args, calls[0].Args)
				}
			}
		})
	}
}

func TestShop_RefusedFirstCallIsNotCharged(t *testing.T) {
	t.Parallel()
	refusal := reply{status: 400, body: `{"error":{"name":"InvalidArgument","code":108,"message":"user_email is not an e-mail address","info":{"arguments":["user_email"]}}}`}
	s := newShopfront(t, refusal)
	b := payWith(t, s, "4242424242424242")
	b.wait(alertShown)
	b.wantContains(alertText, "You have not been charged.", "user_email is not an e-mail address")
}

func TestShop_RefusalAfterDoubtStaysInDoubt(t *testing.T) {
	t.Parallel()
	refusal := reply{status: 401, body: `{"error":{"name":"AccessKeyNotAccepted","code":103,"message":"key"}}`}
	s := newShopfront(t, reply{lost: true}, refusal, reply{body: `{"result":{"results":"failed","error":{"code":"payments_unavailable","retryable":true}}}`}, reply{body: paid})
	b := payWith(t, s, "4242424242424242")
	b.wait(receiptShown)
	if n := len(s.seenPayments()); n != 4 {
		t.Errorf("%d calls, want 4: the page gave up on a doubt", n)
	}
}

func TestShop_ReloadDuringPaymentTakesItUpAgain(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := newShopfront(t, reply{hold: hold, body: paid}, reply{body: paid})
	b := payWith(t, s, "4242424242424242")
	b.wait("document.getElementById('status').textContent.includes('Taking the payment')")
	b.want("document.getElementById('pay-here').disabled", "true")
	b.do("reload", chromedp.Reload())
	b.wait(receiptShown)
	close(hold)
	calls := s.seenPayments()
	if len(calls) != 2 || calls[0].Args != calls[1].Args {
		t.Errorf("calls before and after the reload: %+v", calls)
	}
	b.want("sessionStorage['crema.purchase'] || ''", "")
}

func TestShop_SlowAnswerSaysStillWorking(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := newShopfront(t, reply{hold: hold, body: paid})
	b := payWith(t, s, "4242424242424242")
	b.wait("document.getElementById('status').textContent.includes('Still working')")
	b.wantContains("document.getElementById('status').textContent", "do not pay again")
	b.text("void document.getElementById('order').requestSubmit()")
	b.want("document.querySelectorAll('iframe').length", "0")
	b.shoot("slow")
	close(hold)
	b.wait(receiptShown)
}

func TestShop_DoubleClickPaysOnce(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	b := openShop(t, s)
	b.text("void (document.getElementById('pay-here').click(), document.getElementById('pay-here').click())")
	b.wait(popupOpen)
	b.want("document.querySelectorAll('iframe').length", "1")
	b.keys("ada@example.com" + kb.Tab + "4242424242424242" + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter + kb.Enter)
	b.wait(receiptShown)
	if n, m := len(s.seenPayments()), len(s.seenCards()); n != 1 || m != 1 {
		t.Errorf("%d payments and %d tokens, want 1 and 1", n, m)
	}
}

func TestShop_KeyboardAlone(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	b := openShop(t, s)
	b.keys(kb.Tab)
	b.want("document.activeElement.className", "skip")
	b.keys(kb.Enter + kb.Tab)
	b.want("document.activeElement.getAttribute('aria-label')", "One bag of Kenya AA less")
	b.keys(kb.Enter)
	b.want(bags, "0,0,0")
	b.want("document.activeElement.dataset.product", "kenya-aa") // not on the button, which is grey now
	b.keys(kb.Tab + kb.Tab + kb.ArrowUp)
	b.want(bags, "0,1,0")
	b.want("document.getElementById('till-items').innerText.replaceAll(/\\s+/g, ' ')", "1 × Colombia, 200 g $10.00")
	b.keys(kb.Tab + kb.Tab + kb.Tab + kb.Tab)
	b.want("document.activeElement.id", "email")
	b.keys(kb.Tab)
	b.want("document.activeElement.id", "pay")
	b.keys(kb.Tab)
	b.want("document.activeElement.id", "pay-here")
	b.keys(kb.Enter)
	b.enterCard("4242424242424242")
	b.wait(receiptShown)
	if got := s.seenPayments()[0].Args.Product; got != "Colombia" {
		t.Errorf("paid for %q, want Colombia", got)
	}
}

func TestShop_EscapeGivesTheButtonBack(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	b := openShop(t, s)
	b.click("#pay-here")
	b.wait(popupOpen)
	b.want("document.documentElement.style.overflow", "hidden")
	b.keys(kb.Escape)
	b.wait("!document.querySelector('iframe')")
	b.want("document.activeElement.id", "pay-here")
	b.want("document.documentElement.style.overflow", "")
	b.want("document.querySelectorAll('[inert]').length", "0")
	b.want("document.getElementById('pay-here').disabled", "false")
	b.keys(kb.Enter)
	b.wait(popupOpen)
}

func TestShop_FitsNarrowAndZoomedWindows(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	b := openShop(t, s)
	const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
	for _, width := range []int64{320, 640} { // 640 is a 1280 px window at 200 %
		browser.Resize(t, b.ctx, width, 600)
		b.want(overflow, "0")
		b.want(`Array.from(document.querySelectorAll('.button:not([hidden]), .step, main input, .brand')).filter((el) => el.getClientRects().length && el.getBoundingClientRect().height < 44).length`, "0")
		b.click("#pay-here")
		b.wait(popupStill)
		b.want(inFrame("documentElement.scrollWidth")+" <= "+inFrame("documentElement.clientWidth"), "true")
		b.want(`Array.from(`+inFrame(`querySelectorAll('button, input, summary')`)+`).filter((el) => el.getClientRects().length && el.getBoundingClientRect().height < 44).length`, "0")
		b.keys(kb.Escape)
		b.wait("!document.querySelector('iframe')")
	}
	browser.Resize(t, b.ctx, 320, 600)
	b.click("#pay-here")
	b.enterCard("4242424242424242")
	b.wait(receiptShown)
	b.want(overflow, "0")
}

func TestShop_CatalogueThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	s.configBad = true
	b := open(t, s.URL)
	b.wait(alertShown)
	b.wantContains(alertText, "could not be loaded", "You have not been charged.")
	b.want("document.getElementById('order').hidden", "true")
	b.shoot("unloaded")
	s.change(func() { s.configBad = false })
	b.click("#alert button")
	b.wait("document.querySelectorAll('input[name=bags]').length === 3")
	b.want(alertText, "")
}

func TestShop_SoldOut(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	s.config = `{"mode":"live","currency":"usd","key":"pk_live_x","api_key":"k","products":[],"banner":"","popup":"/stripe/checkout.js"}`
	b := open(t, s.URL)
	b.wait("!document.getElementById('empty').hidden")
	b.wantContains(shownText, "Sold out")
	b.want("document.title", "Crema Coffee")
	b.want("document.getElementById('banner').hidden", "true")
}

func TestShop_PricesFollowTheCurrency(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	s.config = `{"mode":"live","currency":"jpy","key":"pk_live_x","api_key":"k","banner":"","popup":"/stripe/checkout.js","products":[
		{"id":"a","name":"<b>A</b>","currency":"jpy","unit_amount":1500},{"id":"b","name":"B","currency":"kwd","unit_amount":1500},{"id":"constructor","name":"C","currency":"ugx","unit_amount":150000}]}`
	b := open(t, s.URL)
	b.wait("document.querySelectorAll('.price').length === 3")
	b.want("Array.from(document.querySelectorAll('.price'), (el) => el.textContent.replace(/\\s/g, ' ')).join('|')", "¥1,500|KWD 1.500|UGX 1,500.00")
	b.want("document.querySelector('.name').textContent", "<b>A</b>")
	b.want("document.getElementById('test-cards').hidden", "true")
}

func TestShop_OfflineIsSaidBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	b := openShop(t, s)
	b.offline(true)
	b.wait("!navigator.onLine")
	b.wantContains("document.getElementById('offline').textContent", "You are offline.")
	b.click("#pay-here")
	b.wait(alertShown)
	b.wantContains(alertText, "You are offline.", "You have not been charged.")
	b.offline(false)
	b.wait("navigator.onLine && document.getElementById('offline').textContent === ''")
}

func (b *tab) offline(off bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}); err != nil {
		b.t.Fatal(err)
	}
}

func TestShop_CardFormThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	s.config = strings.Replace(s.config, "/stripe/checkout.js", "/nowhere.js", 1)
	b := open(t, s.URL)
	b.wait("document.querySelectorAll('input[name=bags]').length === 3")
	b.click("#pay-here")
	b.wait(alertShown)
	b.wantContains(alertText, "The card form could not be loaded.", "You have not been charged.")
}

func TestShop_AsksNobodyElse(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{body: paid})
	b := payWith(t, s, "4242424242424242")
	b.wait(receiptShown)
	b.want("performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith(location.origin)).map((entry) => entry.name).join()", "")
	b.want("document.querySelectorAll('script:not([src]), style, [style]:not(html)').length", "0")
}

func TestShop_Dark(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, failed("card_declined", ""), reply{body: paid})
	b := openShop(t, s)
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		t.Fatal(err)
	}
	b.want("document.getAnimations().length", "0")
	b.want("getComputedStyle(document.body).backgroundColor", "rgb(27, 18, 13)")
	b.shoot("dark-shop")
	b.click("#pay-here")
	b.wait(popupOpen)
	b.shootViewport("dark-popup")
	b.enterCard("4000000000000002")
	b.wait(alertShown)
	b.shoot("dark-decline")
	b.click("#pay-here")
	b.enterCard("4242424242424242")
	b.wait(receiptShown)
	b.shoot("dark-receipt")
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print", Features: features}); err != nil {
		t.Fatal(err)
	}
	b.shoot("print")
	b.want("Array.from(document.querySelectorAll('.banner, .top, .foot, .actions')).filter((el) => el.getClientRects().length).length", "0")
	b.want("getComputedStyle(document.body).backgroundColor", "rgb(255, 255, 255)")
}

// TestShop_MotionRests holds the page against WCAG 2.2.2: what moves by itself beside text ends within five seconds. It
// pays as well, since the other tests are of shoppers who want no motion.
func TestShop_MotionRests(t *testing.T) {
	t.Parallel()
	b := openShop(t, newShopfront(t, reply{body: paid}))
	features := []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "no-preference"}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		t.Fatal(err)
	}
	b.wait("document.getAnimations().length > 0")
	b.want("Math.max(...document.getAnimations().map((a) => a.effect.getComputedTiming().endTime)) < 5000", "true")
	b.click("#pay-here")
	b.enterCard("4242424242424242")
	b.wait(receiptShown)
}

// TestShop_BackFromTheBrowsersCache plays the event of a page that comes back as it was left.
func TestShop_BackFromTheBrowsersCache(t *testing.T) {
	t.Parallel()
	const comeBack = "void dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
	s := newShopfront(t, reply{body: paid})
	b := openShop(t, s)
	b.click("#pay-here")
	b.wait(popupOpen)
	b.text(comeBack)
	b.wait("!document.querySelector('iframe')")
	b.click("#pay-here")
	b.wait(popupOpen)
	b.keys(kb.Escape)
	b.text(`void (sessionStorage['crema.purchase'] = JSON.stringify({orderKey: 'left-open', args: {product_name: 'Kenya AA'}, item: {name: 'Kenya AA', unit_amount: 1000, currency: 'usd'}}))`)
	b.text(comeBack)
	b.wait(receiptShown)
	if got := s.seenPayments(); len(got) != 1 || got[0].Args.OrderKey != "left-open" {
		t.Errorf("calls: %+v, want one that asks for the order left open", got)
	}
}

// TestShop_Contrast measures the text colours of the sheet against the surfaces that they stand on.
func TestShop_Contrast(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	b := openShop(t, s)
	for _, scheme := range []string{"light", "dark"} {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
			t.Fatal(err)
		}
		b.want(`(() => {
			const style = getComputedStyle(document.documentElement);
			const luminance = (name) => style.getPropertyValue(name).trim().slice(1).match(/../g).map((hex) => parseInt(hex, 16) / 255)
				.map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
			const ratio = (a, b) => { const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x); return (hi + .05) / (lo + .05); };
			const pairs = ['ink page', 'ink paper', 'ink wash', 'soft page', 'soft paper', 'soft bad-wash', 'accent paper', 'on-accent accent', 'on-accent accent-strong',
				'bad bad-wash', 'ink bad-wash', 'accent bad-wash', 'accent wash'];
			return pairs.filter((pair) => ratio(...pair.split(' ').map((name) => '--' + name)) < 4.5).join();
		})()`, "")
	}
}

// TestShop_GivesUpAskingAfterAWhile lets the page's clock run ahead instead of waiting.
func TestShop_GivesUpAskingAfterAWhile(t *testing.T) {
	t.Parallel()
	s := newShopfront(t, reply{lost: true})
	b := payWith(t, s, "4242424242424242")
	b.wait(confirmingShown)
	b.text("void (Date.now = ((now) => () => now() + 130000)(Date.now))")
	b.wait("document.getElementById('confirming-status').textContent.includes('this page stays valid')")
	before := len(s.seenPayments())
	b.text("new Promise((done) => setTimeout(done, 1500))")
	if after := len(s.seenPayments()); after != before {
		t.Errorf("the page went on asking: %d calls, then %d", before, after)
	}
	s.change(func() { s.replies = []reply{{body: paid}} })
	b.click("#check")
	b.wait(receiptShown)
}
