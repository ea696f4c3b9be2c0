package browser

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"crema/server/testkit/browser"
)

// tab is a browser's tab with the steps that the tests are made of. Every step fails the test itself.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// TestMain lets all tests share a browser.
func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

// open shows an address in a tab and fails the test on any exception that a page leaves uncaught.
func open(t *testing.T, address string) *tab {
	t.Helper()
	b := &tab{t: t, ctx: browser.New(t)}
	err := chromedp.Listen(b.ctx, func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("uncaught in the page: %s %s", thrown.ExceptionDetails.Text, thrown.ExceptionDetails.Exception.Description)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.goTo(address)
	return b
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *tab) goTo(address string) {
	b.t.Helper()
	b.do("open "+address, chromedp.Navigate(address))
}

// text evaluates an expression, which may be a promise, and returns its value as text.
func (b *tab) text(expression string) string {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("Promise.resolve("+expression+").then(String)", chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// json evaluates an expression and decodes its value into v.
func (b *tab) json(expression string, v any) {
	b.t.Helper()
	text := b.text("Promise.resolve(" + expression + ").then(JSON.stringify)")
	if err := json.Unmarshal([]byte(text), v); err != nil {
		b.t.Fatalf("%s gave %s: %v", expression, text, err)
	}
}

func (b *tab) want(expression, want string) {
	b.t.Helper()
	if got := b.text(expression); got != want {
		b.t.Errorf("%s = %q, want %q", expression, got, want)
	}
}

func (b *tab) wantContains(expression string, parts ...string) {
	b.t.Helper()
	got := b.text(expression)
	for _, part := range parts {
		if !strings.Contains(got, part) {
			b.t.Errorf("%s = %q, which lacks %q", expression, got, part)
		}
	}
}

// wait returns when the condition holds in the page, and fails after 30 s. A page may go and another come meanwhile.
func (b *tab) wait(condition string) {
	b.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && b.ctx.Err() == nil; {
		poll := chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(time.Until(end)))
		if _, err = chromedp.Run(b.ctx, poll); err == nil {
			return
		}
	}
	b.t.Fatalf("waiting for %s: %v\npage says: %s", condition, err, b.text("document.body.innerText"))
}

// click presses the mouse in the middle of an element. A page that moves the element away in that moment, because an
// answer arrives that shows a line above it, gets the press again: only what never reached the element is repeated.
func (b *tab) click(selector string) {
	b.t.Helper()
	for range 5 {
		b.do("find "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
		b.text(fmt.Sprintf(`void (window.pressed = false, document.querySelector(%s).addEventListener('click', () => { window.pressed = true; }, {capture: true, once: true}))`, quote(selector)))
		b.press(selector)
		if missed, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("window.pressed === false")); err != nil || !missed {
			return // without the mark another page is here already
		}
	}
	b.t.Fatalf("click %s: it moves away each time", selector)
}

// press is click for where the press itself is watched: on a page that runs no scripts, or under something that covers it.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.do("press "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// keys types as a person does, into whatever has the focus.
func (b *tab) keys(keys string) {
	b.t.Helper()
	b.do(fmt.Sprintf("type %q", keys), chromedp.KeyEvent(keys))
}

func (b *tab) shiftTab() {
	b.t.Helper()
	b.do("shift-tab", chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift)))
}

// shoot keeps pictures of the whole page at 1280 and at 320 px, for whoever runs the tests with -artifacts.
func (b *tab) shoot(name string) { b.t.Helper(); b.pictures(name, browser.FullScreenshot) }

// shootViewport is shoot without what is scrolled away, for what is fixed to the window.
func (b *tab) shootViewport(name string) { b.t.Helper(); b.pictures(name, browser.Screenshot) }

func (b *tab) pictures(name string, take func(*testing.T, context.Context, string)) {
	b.t.Helper()
	if kept := flag.Lookup("test.artifacts"); kept == nil || kept.Value.String() != "true" {
		return
	}
	browser.Resize(b.t, b.ctx, 320, 700)
	take(b.t, b.ctx, name+"-320.png")
	browser.Resize(b.t, b.ctx, 1280, 900)
	take(b.t, b.ctx, name+"-1280.png")
}

// inFrame is an expression inside the popup's frame, where the page may look into it.
func inFrame(expression string) string {
	return "(document.querySelector('iframe.stripe_checkout_app')?.contentDocument)?." + expression
}

const popupOpen = `document.querySelector('iframe.stripe_checkout_app')?.contentDocument?.activeElement?.tagName === 'INPUT'`

// enterCard fills the open popup with the keyboard alone and submits it.
func (b *tab) enterCard(number string) {
	b.t.Helper()
	b.wait(popupOpen)
	b.keys("ada@example.com" + kb.Tab + number + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter)
}

// openShop opens the shop page and waits for its beans.
func openShop(t *testing.T, s *shopfront) *tab {
	t.Helper()
	b := open(t, s.URL)
	b.wait("document.querySelectorAll('input[name=bags]').length === 3 && window.StripeCheckout")
	return b
}

// payWith opens the shop, chooses the first beans and enters a card.
func payWith(t *testing.T, s *shopfront, number string) *tab {
	t.Helper()
	b := openShop(t, s)
	b.click("#pay-here")
	b.enterCard(number)
	return b
}
