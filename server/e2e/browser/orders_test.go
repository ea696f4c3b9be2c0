package browser

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"crema/server/testkit"
	"crema/server/testkit/browser"
)

const (
	atPay     = "location.pathname.startsWith('/_stripe/pay/') && document.querySelector('#number')"
	atOrder   = "location.pathname.startsWith('/orders/') && document.querySelector('#title')"
	paidOrder = atOrder + " && document.querySelector('#title').textContent.includes('payment went through')"
	errorText = "document.querySelector('[role=alert]')?.innerText || ''"
)

// startShop runs the binary and opens its shop.
func startShop(t *testing.T) (*testkit.Server, *tab) {
	t.Helper()
	s := testkit.StartServer(t, testkit.AppDir(t))
	b := open(t, s.URL)
	b.wait(shopReady)
	return s, b
}

// toCheckout presses the shop's main button and waits for the hosted page.
func (b *tab) toCheckout() {
	b.t.Helper()
	b.click("#pay")
	b.wait(atPay)
}

// payHosted fills the hosted page. The e-mail is asked for when the shop did not send one.
func (b *tab) payHosted(number string) {
	b.t.Helper()
	if b.text("document.querySelector('#email') ? 'asked' : ''") != "" {
		b.do("e-mail", chromedp.SetValue(chromedp.CSS("#email"), "ada@example.com"))
	}
	b.press("#number")
	b.keys(number + kb.Tab + "12/34" + kb.Tab + "123" + kb.Enter)
}

// wantBooks compares what the operator sees with what must be there.
func wantBooks(t *testing.T, s *testkit.Server, want string) {
	t.Helper()
	if got := rows(t, s, "select product, amount_minor, status from payment_record order by 1"); got != want {
		t.Errorf("psql shows %q, want %q", got, want)
	}
}

func TestReal_HostedCheckoutPaysABasket(t *testing.T) {
	t.Parallel()
	s, b := startShop(t)
	b.click(".bean:nth-child(2) .step:last-child")
	b.click(".bean:nth-child(2) .step:last-child")
	b.want("document.getElementById('total').value", "$30.00")
	b.do("e-mail", chromedp.SendKeys(chromedp.CSS("#email"), "ada@example.com"))
	b.shoot("real-shop")
	b.toCheckout()
	b.wantContains("document.body.innerText", "$30.00", "2 × $10.00", "ada@example.com")
	b.shoot("real-hosted")
	b.payHosted("4000000000000002")
	b.wait(errorText)
	b.wantContains(errorText, "declined", "not been charged")
	b.shoot("real-hosted-declined")
	b.do("reload during the payment", chromedp.Reload())
	b.wait(atPay)
	b.payHosted("4000000000009995")
	b.wait("(" + errorText + ").includes('funds')")
	b.payHosted("4242424242424242")
	b.wait(paidOrder)
	b.tokyo()
	b.wantContains("document.body.innerText.replaceAll(/\\s+/g, ' ')", "Colombia 2 $10.00 $20.00", "Kenya AA 1 $10.00", "$30.00", "Visa ending in 4242", "Crema Coffee", "no real money")
	b.wait("document.querySelector('time').textContent === new Intl.DateTimeFormat('en-US', {dateStyle: 'long', timeStyle: 'short', timeZone: 'Asia/Tokyo'}).format(new Date(document.querySelector('time').dateTime))")
	b.want("document.querySelector('time').title.endsWith(' UTC')", "true")
	b.want("location.search.includes('@')", "false")
	b.shoot("real-paid")
	b.do("reload", chromedp.Reload())
	b.wait(paidOrder)
	wantBooks(t, s, "2 x Colombia, Kenya AA|3000|succeeded")
	for _, secret := range []string{"4242424242424242", "4000000000000002", s.MasterKey, "whsec_", "sk_test_"} {
		if strings.Contains(s.Log(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}

	b.click(".actions a.button") // buy more
	b.wait(shopReady)
	b.wait(noticeText + ".includes('already paid')")
	b.want(bags, "0,0,0")
}

// tokyo shows the page again to a shopper in another zone than the server's.
func (b *tab) tokyo() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"}); err != nil {
		b.t.Fatal(err)
	}
	b.do("reload", chromedp.Reload())
	b.wait(paidOrder)
}

func TestReal_BankSaysNoAndThenYes(t *testing.T) {
	t.Parallel()
	s, b := startShop(t)
	b.toCheckout()
	b.payHosted("4000000000003220")
	b.wait("document.querySelector('[value=fail]')")
	b.shoot("real-bank")
	b.click("[value=fail]")
	b.wait(errorText)
	b.wantContains(errorText, "not been charged")
	wantBooks(t, s, "")
	b.payHosted("4000000000003220")
	b.wait("document.querySelector('[value=complete]')")
	b.click("[value=complete]")
	b.wait(paidOrder)
	wantBooks(t, s, "Kenya AA|1000|succeeded")
}

func TestReal_CancelAndBackToTheShop(t *testing.T) {
	t.Parallel()
	s, b := startShop(t)
	b.toCheckout()
	page := b.text("location.href")
	b.click("a.back")
	b.wait(atOrder)
	b.wantContains("document.body.innerText", "You left the checkout", "Nothing was charged")
	b.shoot("real-cancelled")
	b.goTo(page)
	b.wantContains("document.body.innerText", "expired", "not been charged")
	b.goTo(s.URL)
	b.wait(shopReady)
	b.want(bags, "1,0,0")
	b.toCheckout() // the same order, another page
	if b.text("location.href") == page {
		t.Error("the closed checkout is offered again")
	}
	b.payHosted("4242424242424242")
	b.wait(paidOrder)
	wantBooks(t, s, "Kenya AA|1000|succeeded")
	if n := rows(t, s, "select count(*), sum((select count(*) from _payment)) from _order"); n != "1|2" {
		t.Errorf("orders and attempts: %s, want one order with two", n)
	}
}

// The back button, another basket under the same order, and a paid order that is left behind.
func TestReal_BackButtonNeverPaysTwice(t *testing.T) {
	t.Parallel()
	s, b := startShop(t)
	b.toCheckout()
	old := b.text("location.href")
	b.do("back", chromedp.NavigateBack())
	b.wait(shopReady + " && document.querySelector('#continue')")
	b.click("#continue")
	b.wait(atPay)
	b.want("location.href", old) // the same checkout, not a second one
	b.do("back", chromedp.NavigateBack())
	b.wait(shopReady)
	b.click(".bean:nth-child(3) .step:last-child")
	b.toCheckout()
	b.wantContains("document.body.innerText", "$20.00", "Ethiopia")
	changed := b.text("location.href")
	b.goTo(old)
	b.wantContains("document.body.innerText", "expired")
	b.goTo(changed)
	b.wait(atPay)
	b.payHosted("4242424242424242")
	b.wait(paidOrder)
	b.goTo(changed)
	b.wantContains("document.body.innerText", "is paid", "Nothing more will be charged")
	b.goTo(s.URL)
	b.wait(shopReady + " && " + noticeText + ".includes('already paid')")
	b.click("#notice a")
	b.wait(paidOrder)
	wantBooks(t, s, "Ethiopia, Kenya AA|2000|succeeded")
}

func TestReal_WithoutJavaScript(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t))
	b := open(t, "about:blank")
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.goTo(s.URL)
	b.press("noscript a")
	b.wait("document.querySelector('form[action=\"/orders/new\"]')")
	browser.Resize(t, b.ctx, 320, 700)
	b.want("document.documentElement.scrollWidth", "320")
	b.shoot("nojs-shop")
	b.do("bags", chromedp.SetValue(chromedp.CSS("#bags-colombia"), "3"))
	b.press("button.pay")
	b.wait(atPay)
	b.payHosted("4242424242424242")
	b.wait(paidOrder)
	b.wantContains("document.body.innerText.replaceAll(/\\s+/g, ' ')", "Colombia", "$30.00", "UTC")
	b.want("document.getElementById('print').hidden", "true")
	b.shoot("nojs-paid")
	wantBooks(t, s, "3 x Colombia|3000|succeeded")

	link := orderLink(t, s)
	rows(t, s, "update _payment set state = 'unknown', next_try_at = now() + interval '1 hour'")
	rows(t, s, "update _order set status = 'open'")
	b.goTo(link)
	b.wantContains("document.body.innerText", "We are confirming your payment", "Do not pay again")
	rows(t, s, "update _payment set state = 'succeeded'")
	rows(t, s, "update _order set status = 'paid'")
	b.wait(paidOrder) // by itself
}

// A shopper who pays and closes the tab at once: only the provider's notice tells the shop.
func TestReal_PaidByNoticeAlone(t *testing.T) {
	t.Parallel()
	s, b := startShop(t)
	b.toCheckout()
	leave := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := leave.PostForm(b.text("location.href"), url.Values{"email": {"ada@example.com"}, "number": {"4242424242424242"}, "expiry": {"12/34"}, "cvc": {"123"}})
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the hosted page answers %v, %v", resp, err)
	}
	link := orderLink(t, s)
	b.goTo(s.URL)
	status := "fetch('" + strings.Replace(link, "?", "/status.json?", 1) + "').then((r) => r.json()).then((order) => order.status)"
	for range 200 {
		if b.text(status) == "paid" {
			break
		}
		b.text("new Promise((done) => setTimeout(done, 100))")
	}
	wantBooks(t, s, "Kenya AA|1000|succeeded")
	b.goTo(link)
	b.wait(paidOrder)
}

func TestReal_ExpiredCheckoutStartsAgain(t *testing.T) {
	t.Parallel()
	s, b := startShop(t)
	b.toCheckout()
	page := b.text("location.href")
	rows(t, s, "update _payment set sent_at = now() - interval '1 hour'")
	b.goTo(orderLink(t, s) + "&cs=x") // whoever asks now closes it
	b.wait(atOrder)
	b.wantContains("document.body.innerText", "did not go through", "You have not been charged", "Try again")
	b.shoot("order-expired")
	b.goTo(page)
	b.wantContains("document.body.innerText", "expired", "not been charged")
	b.goTo(s.URL)
	b.wait(shopReady)
	b.toCheckout()
	b.payHosted("4242424242424242")
	b.wait(paidOrder)
	wantBooks(t, s, "Kenya AA|1000|succeeded")
}

// orderLink is the link of the only order.
func orderLink(t *testing.T, s *testkit.Server) string {
	t.Helper()
	link, _, _ := strings.Cut(rows(t, s, "select request->>'success_url' from _payment"), "&cs=")
	return link
}

// The order page follows by itself what happens elsewhere, and prints and fits like the shop.
func TestReal_OrderPageFollowsItsOrder(t *testing.T) {
	t.Parallel()
	s, b := startShop(t)
	b.toCheckout()
	link := orderLink(t, s)
	b.goTo(link)
	b.wantContains("document.body.innerText", "not paid yet", "Continue to secure checkout")
	b.shoot("order-open")
	b.goTo(link + "&cs=cs_test_returned") // as if the provider had not told us yet
	b.wantContains("document.body.innerText", "We are confirming your payment", "Do not pay again")
	b.want("document.querySelectorAll('[style], style, script:not([src])').length", "0")
	b.shoot("order-processing")

	b.offline(true)
	b.wait("document.getElementById('watch').textContent.includes('You are offline')")
	b.offline(false)
	b.wait("!document.getElementById('watch').textContent.includes('You are offline')")

	browser.Resize(t, b.ctx, 320, 700)
	const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
	b.want(overflow, "0")
	b.want("[...document.querySelectorAll('.button, .brand')].filter((el) => el.getClientRects().length && el.getBoundingClientRect().height < 44).length", "0")
	for _, c := range [][2]string{
		{"paid", "payment went through"}, {"partially_refunded", "Part of your payment was refunded"}, {"refunded", "Your payment was refunded"}, {"disputed", "under review"},
	} {
		status, says := c[0], c[1]
		rows(t, s, "update _payment set state = 'succeeded', charge_id = 'ch_1', card_brand = 'visa', card_last4 = '4242', url = null")
		rows(t, s, "update _order set status = '"+status+"'")
		if status == "paid" {
			b.wait("document.body.innerText.includes('payment went through')") // by itself
		}
		b.goTo(link)
		b.wantContains("document.body.innerText", says)
		b.want(overflow, "0")
		b.shoot("order-" + status)
		browser.Resize(t, b.ctx, 320, 700)
	}
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		t.Fatal(err)
	}
	b.shoot("order-dark")
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print", Features: features}); err != nil {
		t.Fatal(err)
	}
	b.want("[...document.querySelectorAll('.banner, .top, .foot, .actions')].filter((el) => el.getClientRects().length).length", "0")
	b.want("getComputedStyle(document.body).backgroundColor", "rgb(255, 255, 255)")
	b.shoot("order-print")
	b.goTo(link[:len(link)-1])
	b.wantContains("document.body.innerText", "whole link")
	b.shoot("order-missing")
	if resp, err := http.Get(link); err != nil || resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers of the order page: %v %v", resp, err)
	}
}
