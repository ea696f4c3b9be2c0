package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// oldPage is a page as merchants wrote them for the popup: it keeps what the popup calls in `log`.
func oldPage(script, options string) string {
	return `<!doctype html><title>Old shop</title><button id="buy">Buy</button><a href="#">Elsewhere</a>
<script src="` + script + `"></script>
<script>
var log = [], got = null, errors = [];
console.error = function (text) { errors.push(text); };
var handler = StripeCheckout.configure(Object.assign({
  key: 'pk_test_old', name: 'Old shop', description: 'Two bags', amount: 2000, currency: 'usd', email: 'bob@example.com',
  token: function (token, args) { log.push('token'); got = {token: token, args: args}; },
  opened: function () { log.push('opened'); },
  closed: function () { log.push('closed'); }
}, ` + options + `));
document.getElementById('buy').addEventListener('click', function (e) { handler.open({description: 'Three bags'}); e.preventDefault(); });
window.addEventListener('popstate', function () { handler.close(); });
</script>`
}

// openOld opens an old page, with further options for its configure call, and its popup.
func openOld(t *testing.T, s *shopfront, options string) *tab {
	t.Helper()
	s.pages = map[string]string{"/old": oldPage("/stripe/checkout.js", options)}
	b := open(t, s.URL+"/old")
	b.click("#buy")
	b.wait(popupStill)
	return b
}

func inFrameText(id string) string { return inFrame("getElementById('" + id + "').textContent") }

func focusedInFrame() string { return inFrame("activeElement.id") }

func TestPopup_GivesTheTokenAndThenCloses(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	b := openOld(t, s, "{}")
	b.want(inFrameText("name")+" + '|' + "+inFrameText("description")+" + '|' + "+inFrameText("pay-label"), "Old shop|Three bags|Pay $20.00")
	b.wantContains(inFrame("body.innerText"), "Sandbox checkout – no money moves", "bob@example.com")
	b.want(focusedInFrame(), "number")
	b.keys("4242424242424242" + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter)
	b.wait("log.includes('closed')")
	b.want("log.join()", "opened,token,closed")
	b.want("[got.token.id, got.token.object, got.token.type, got.token.email, got.token.card.last4, JSON.stringify(got.args)].join()", "tok_1Aa,token,card,bob@example.com,4242,{}")
	b.want("document.activeElement.id", "buy")
	card := s.seenCards()[0]
	for name, want := range map[string]string{
		"key": "pk_test_old", "email": "bob@example.com", "card[number]": "4242424242424242", "card[exp_month]": "12",
		"card[exp_year]": "2030", "card[cvc]": "123", "card[name]": "bob@example.com", "card[address_zip]": "",
	} {
		if got := card.Get(name); got != want {
			t.Errorf("the token request has %s=%q, want %q", name, got, want)
		}
	}
}

func TestPopup_EscapeAndCloseCallClosedOnce(t *testing.T) {
	t.Parallel()
	b := openOld(t, newShopfront(t), "{}")
	b.text("void (handler.open(), StripeCheckout.open({key: 'pk_test_b'}))")
	b.want("document.querySelectorAll('iframe').length", "1")
	b.keys(kb.Escape)
	b.wait("log.includes('closed')")
	b.text("void handler.close()")
	b.want("log.join()", "opened,closed")
	b.click("#buy")
	b.wait(popupStill)
	b.text("void handler.close()")
	b.want("log.join()", "opened,closed,opened,closed")
	b.want("document.querySelectorAll('iframe').length + document.documentElement.style.overflow", "0")
	b.click("#buy")
	b.wait(popupStill)
	b.press("#buy") // lands on the popup's backdrop, which keeps what was typed
	b.want("document.querySelectorAll('iframe').length", "1")
	b.text("void " + inFrame("getElementById('close').click()"))
	b.wait("log.length === 6")
}

func TestPopup_KeepsTheFocusInside(t *testing.T) {
	t.Parallel()
	b := openOld(t, newShopfront(t), "{email: undefined}")
	want := []string{"email", "number", "expiry", "cvc", "pay", "", "close", "email"} // "" is the summary of the test cards
	for i, id := range want {
		b.want(focusedInFrame(), id)
		b.want("document.activeElement.tagName", "IFRAME")
		if i < len(want)-1 {
			b.keys(kb.Tab)
		}
	}
	b.shiftTab()
	b.shiftTab()
	b.want(inFrame("activeElement.tagName"), "SUMMARY")
	b.want("[document.getElementById('buy').inert, document.documentElement.style.overflow].join()", "true,hidden")
	b.keys(kb.Enter + kb.Tab) // opens the test cards and goes round to the start: the list comes after the summary
	b.keys(kb.Enter)
	b.want(inFrame("getElementById('number').value"), "4242 4242 4242 4242")
	b.shootViewport("test-cards")
}

func TestPopup_SaysWhatIsWrongAtTheField(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	s.tokens = []reply{
		{status: 402, body: `{"error":{"type":"card_error","code":"incorrect_number","param":"number","message":"Your card number is incorrect."}}`},
		{status: 402, body: `{"error":{"type":"card_error","code":"invalid_expiry_year","param":"card[exp_year]","message":"Your card's expiration year is invalid."}}`},
		{lost: true},
		{status: 500, body: "<p>no</p>"},
		{body: `{"id":"nonsense"}`},
	}
	b := openOld(t, s, "{email: undefined}")
	steps := []struct{ keys, focus, text string }{
		{kb.Enter, "email", "Enter your e-mail address, for the receipt."},
		{"a@b.c" + kb.Enter, "number", "Enter the card number."},
		{"4242" + kb.Enter, "number", "The card number is incomplete."},
		{"424242424241" + kb.Enter, "expiry", "Enter the expiry date as month and year."},
		{"1330" + kb.Enter, "expiry", "The month of the expiry date is between 01 and 12."},
		{strings.Repeat(kb.Backspace, 9) + "1230" + kb.Enter, "cvc", "Enter the security code."},
		{"123" + kb.Enter, "number", "Your card number is incorrect. You have not been charged."},
		{kb.Enter, "expiry", "Your card's expiration year is invalid. You have not been charged."},
		{kb.Enter, "error", "The card could not be checked: no answer from the server. You have not been charged. Try again."},
	}
	for _, step := range steps {
		b.keys(step.keys)
		b.wait(inFrameText("error") + " === " + quote(step.text))
		b.want(focusedInFrame(), step.focus)
		b.want(inFrame("querySelectorAll('[aria-invalid]').length"), map[bool]string{true: "0", false: "1"}[step.focus == "error"])
	}
	b.want(inFrame("getElementById('error').getAttribute('role')"), "alert")
	for range 2 {
		b.text("void " + inFrame("getElementById('pay').click()"))
		b.wait("!" + inFrame("getElementById('pay').disabled"))
		b.wantContains(inFrameText("error"), "You have not been charged.")
	}
	b.shootViewport("popup-error")
	b.text("void " + inFrame("getElementById('pay').click()"))
	b.wait("log.join() === 'opened,token,closed'")
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func TestPopup_IsBusyWhileTokenising(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	hold := make(chan struct{})
	s.tokens = []reply{{hold: hold}}
	b := openOld(t, s, "{}")
	b.keys("4242424242424242" + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter)
	b.wait(inFrame("getElementById('pay').disabled"))
	b.wantContains(inFrameText("working"), "Checking the card")
	b.text("void " + inFrame("getElementById('form').requestSubmit()")) // as an extension or a password manager may
	b.keys(kb.Tab + kb.Enter + kb.Escape)
	b.wait("log.includes('closed')")
	close(hold)
	b.want("log.join()", "opened,closed")
	if n := len(s.seenCards()); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestPopup_AsksForAddresses(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	b := openOld(t, s, "{billingAddress: true, shippingAddress: true}")
	b.keys("4242424242424242" + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter)
	b.wait(inFrameText("error") + ".includes('name of the billing address')")
	b.keys("Ada L" + kb.Tab + "1 Main St" + kb.Tab + "94110" + kb.Tab + "San Francisco" + kb.Tab + "CA" + kb.Tab + kb.Tab + " ")
	b.want(inFrame("getElementById('same').checked"), "false")
	b.keys(kb.Tab + "Bob" + kb.Tab + "2 Side St" + kb.Tab + "10115" + kb.Tab + "Berlin" + kb.Tab + kb.Tab + "Germ" + kb.Tab)
	b.shootViewport("addresses")
	b.keys(kb.Enter)
	b.wait("got")
	var args map[string]string
	b.json("got.args", &args)
	want := map[string]string{
		"billing_name": "Ada L", "billing_address_line1": "1 Main St", "billing_address_zip": "94110", "billing_address_city": "San Francisco",
		"billing_address_state": "CA", "billing_address_country": "United States", "billing_address_country_code": "US",
		"shipping_name": "Bob", "shipping_address_line1": "2 Side St", "shipping_address_zip": "10115", "shipping_address_city": "Berlin",
		"shipping_address_country": "Germany", "shipping_address_country_code": "DE",
	}
	if len(args) != len(want) {
		t.Errorf("args = %v", args)
	}
	for name, value := range want {
		if args[name] != value {
			t.Errorf("args.%s = %q, want %q", name, args[name], value)
		}
	}
	card := s.seenCards()[0]
	if card.Get("card[name]") != "Ada L" || card.Get("card[address_zip]") != "94110" || card.Get("card[address_country]") != "US" {
		t.Errorf("the token request lacks the billing address: %v", card)
	}
}

func TestPopup_FormatsWhatIsTyped(t *testing.T) {
	t.Parallel()
	b := openOld(t, newShopfront(t), "{zipCode: true, currency: 'jpy', panelLabel: 'Order for'}")
	b.want(inFrameText("pay-label"), "Order for ¥2,000")
	b.want(inFrame("getElementById('zip-field').hidden"), "false")
	b.keys("378282246310005")
	b.want(inFrame("getElementById('number').value")+" + '|' + "+inFrameText("brand")+" + '|' + "+inFrame("getElementById('cvc').maxLength"), "3782 822463 10005|American Express|4")
	b.keys(kb.Home + kb.ArrowRight + kb.ArrowRight + "9")
	b.want(inFrame("getElementById('number').value")+" + '|' + "+inFrame("getElementById('number').selectionStart"), "3798 282246 31000|3")
	for typed, want := range map[string]string{"1": "1", "4": "04 / ", "1230": "12 / 30", "12/30": "12 / 30", "122030": "12 / 30"} {
		b.text("void (" + inFrame("getElementById('expiry').select()") + ", " + inFrame("getElementById('expiry').focus()") + ")")
		b.keys(kb.Backspace + typed)
		b.want(inFrame("getElementById('expiry').value"), want)
	}
	b.keys(kb.Backspace + kb.Backspace)
	b.want(inFrame("activeElement.id"), "expiry")
}

func TestPopup_RefusesSecretKeys(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"sk_test_4eC39HqLyjWDarjtT1zdp7dc": "secret key", "rk_live_abcdefgh12345678": "secret key", "": "is missing", "whatever": "not a publishable key"}
	for key, why := range keys {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			s := newShopfront(t)
			s.pages = map[string]string{"/old": oldPage("/stripe/checkout.js", "{key: '"+key+"'}")}
			b := open(t, s.URL+"/old")
			b.press("#buy")
			b.want("document.querySelectorAll('iframe').length", "0")
			b.want("document.querySelectorAll('.stripe_checkout_notice[role=alert]').length", "1")
			b.wantContains("document.querySelector('.stripe_checkout_notice').innerText", "pk_", why)
			b.wantContains("errors.join()", "StripeCheckout", "pk_")
			if text := b.text("errors.join() + document.body.innerText"); key != "" && strings.Contains(text, key) {
				t.Errorf("the key is repeated: %s", text)
			}
		})
	}
}

func TestPopup_SimpleModeFillsAndSubmitsTheForm(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	s.pages = map[string]string{"/simple": `<!doctype html><form id="one" action="/charge" method="post"><input name="note" value="gift" required><input type="hidden" name="submit" value="x">
<script src="/stripe/checkout.js" class="stripe-button" data-key="pk_test_simple" data-name="Simple" data-amount="999" data-currency="eur" data-label="Pay now"
 data-panel-label="Give {{amount}}" data-billing-address="true" data-zip-code="false"></script></form>
<form id="two" action="/charge" method="post"><script src="/stripe/checkout.js" class="stripe-button" data-key="pk_test_two"></script></form>`}
	b := open(t, s.URL+"/simple")
	b.want("Array.from(document.querySelectorAll('button[type=submit].stripe-button-el > span'), (el) => el.closest('form').id + el.textContent).join()", "onePay now,twoPay with Card")
	b.click("#one button")
	b.wait(popupStill)
	b.want(inFrameText("pay-label"), "Give €9.99")
	b.keys("eve@example.com" + kb.Tab + "4242424242424242" + kb.Tab + "1230" + kb.Tab + "123" + kb.Tab)
	b.keys("Eve" + kb.Tab + "3 Hill Rd" + kb.Tab + "8001" + kb.Tab + "Zurich" + kb.Enter)
	b.wait("location.pathname === '/charge' && document.readyState === 'complete'")
	b.want("document.querySelector('pre').textContent.trim()", `{"note":["gift"],"stripeBillingAddressCity":["Zurich"],"stripeBillingAddressCountry":["United States"],"stripeBillingAddressCountryCode":["US"],`+
		`"stripeBillingAddressLine1":["3 Hill Rd"],"stripeBillingAddressZip":["8001"],"stripeBillingName":["Eve"],"stripeEmail":["eve@example.com"],"stripeToken":["tok_1Aa"],"stripeTokenType":["card"],"submit":["x"]}`)
}

func TestPopup_WorksOnAPageOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(oldPage(s.URL+"/stripe/checkout.js", "{}")))
	}))
	t.Cleanup(old.Close)
	b := open(t, old.URL)
	b.click("#buy")
	b.wait("log.includes('opened')")
	b.want("document.querySelector('iframe').src.split('#')[0]", s.URL+"/_stripe/checkout/frame")
	b.keys("4242424242424242" + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter)
	b.wait("log.join() === 'opened,token,closed'")
}

func TestPopup_PageIgnoresForgedMessages(t *testing.T) {
	t.Parallel()
	b := openOld(t, newShopfront(t), "{}")
	const forge = `((change) => {
		const iframe = document.querySelector('iframe');
		const true_ = {source: iframe.contentWindow, origin: location.origin, v: 1, nonce: new URL(iframe.src).hash.slice(1)};
		const {source, origin, v, nonce} = {...true_, ...change};
		dispatchEvent(new MessageEvent('message', {source, origin, data: {v, nonce, type: 'token', token: {id: 'tok_forged'}}}));
		return log.join();
	})`
	for _, change := range []string{"{source: window}", "{source: null}", "{origin: 'https://evil.example'}", "{origin: 'null'}", "{nonce: 'guess'}", "{nonce: undefined}", "{v: 2}"} {
		b.want(forge+"("+change+")", "opened")
	}
	b.want(forge+"({})", "opened,token,closed") // what is refused above is refused for that one difference
}

func TestPopup_FrameIgnoresForgedMessages(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	s.pages = map[string]string{"/framed": `<!doctype html><iframe src="/_stripe/checkout/frame#right" width="500" height="700"></iframe>`}
	b := open(t, s.URL+"/framed")
	b.wait("document.querySelector('iframe').contentDocument.querySelectorAll('#test-cards li').length")
	const forge = `((change) => {
		const frame = document.querySelector('iframe').contentWindow;
		const {source, origin, v, nonce, key} = {source: window, origin: location.origin, v: 1, nonce: 'right', key: 'pk_test_x', ...change};
		frame.dispatchEvent(new frame.MessageEvent('message', {source, origin, data: {v, nonce, type: 'open', options: {key, name: 'Forged'}}}));
		return frame.document.getElementById('dialog').hidden;
	})`
	for _, change := range []string{"{nonce: 'wrong'}", "{source: null}", "{origin: 'https://evil.example'}", "{v: 2}"} {
		b.want(forge+"("+change+")", "true")
	}
	b.want(forge+"({})", "false")
	b.goTo(s.URL + "/_stripe/checkout/frame#right")
	b.wantContains("document.body.innerText", "opens from a shop’s page")
}

func TestPopup_FrameThatDoesNotComeIsSaid(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	bare := http.NewServeMux()
	bare.HandleFunc("GET /stripe/checkout.js", asset("checkout.js", "text/javascript"))
	broken := httptest.NewServer(bare)
	t.Cleanup(broken.Close)
	s.pages = map[string]string{"/old": oldPage(broken.URL+"/stripe/checkout.js", "{}")}
	b := open(t, s.URL+"/old")
	b.click("#buy")
	b.wait("log.includes('closed')")
	b.want("log.join()", "closed")
	b.wantContains("document.querySelector('.stripe_checkout_notice').innerText", "could not be loaded", "You have not been charged.")
}

func TestPopup_ThrowingCallbackStillCloses(t *testing.T) {
	t.Parallel()
	b := openOld(t, newShopfront(t), "{token: function () { log.push('token'); throw new Error('the page is broken'); }}")
	b.text("void addEventListener('error', (event) => { log.push(event.error.message); event.preventDefault(); })")
	b.keys("4242424242424242" + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter)
	b.wait("log.length === 4")
	b.want("log.join()", "opened,token,closed,the page is broken")
	b.want("document.querySelectorAll('iframe, [inert]').length", "0")
}
