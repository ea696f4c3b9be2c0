package checkout_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"crema/server/base/pg"
	"crema/server/base/telemetry"
	"crema/server/core/payments"
	"crema/server/core/payments/sandbox"
	"crema/server/lambda"
	"crema/server/testkit"
	"crema/server/web"
	"crema/server/web/checkout"
)

const (
	webhookSecret = "whsec_doorofthetest"
	buyer         = "ada.lovelace@example.com" // no part of it is hexadecimal, as ids and links are
)

// shop is the door in the server's stack, on a database and a sandbox of its own.
type shop struct {
	t        *testing.T
	db       *pg.DB
	payments *payments.Service
	handler  http.Handler
}

func newShop(t *testing.T, change func(*payments.Config)) *shop {
	t.Helper()
	db := testkit.DB(t)
	log := slog.New(slog.DiscardHandler)
	sb, err := sandbox.New(t.Context(), sandbox.Config{DB: db, Log: log, SecretKey: "sk_test_doordoor", PublishableKey: "pk_test_doordoor"})
	if err != nil {
		t.Fatal(err)
	}
	url, err := sb.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sb.Stop(context.Background()) })
	c := payments.Config{
		DB: db, Log: log, Install: "door", Mode: payments.Sandbox, SecretKey: "sk_test_doordoor", URL: url, PublicURL: "http://shop.test",
		LinkKey: "links of the door's test", WebhookSecrets: []string{"whsec_old", webhookSecret}, TokenPath: true,
	}
	if change != nil {
		change(&c)
	}
	s := &shop{t: t, db: db}
	if s.payments, err = payments.New(c); err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	r.Use(web.Stack(web.StackConfig{Log: log, Metrics: telemetry.NewMetrics(), MaxBody: 4 << 20}))
	checkout.New(checkout.Config{
		Payments: s.payments, Gate: web.NewGate("public", "master", nil), Currency: "usd", APIKey: "public", PublishableKey: "pk_test_doordoor", ShopName: "Bean & Co", Contact: "hello@bean.example",
	}).Register(r)
	s.handler = r
	return s
}

// order opens a checkout and returns its order's id and link.
func (s *shop) order() (id, link string) {
	s.t.Helper()
	p, err := s.payments.OpenCheckout(s.t.Context(), lambda.Checkout{
		Items: []lambda.CheckoutItem{{Product: "kenya-aa", Quantity: 2}, {Product: "colombia", Quantity: 1}}, Email: buyer, OrderKey: "key-of-the-test",
	})
	if err != nil || p.Status != lambda.AtCheckout {
		s.t.Fatalf("no checkout: %+v %v", p, err)
	}
	return p.OrderID, p.StatusURL
}

func (s *shop) exec(q string, args ...any) {
	s.t.Helper()
	if n, err := s.db.Exec(s.t.Context(), q, args...); err != nil || n == 0 {
		s.t.Fatalf("%s: %d rows, %v", q, n, err)
	}
}

func (s *shop) do(method, target, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body)))
	return w
}

func (s *shop) get(target string) *httptest.ResponseRecorder { return s.do("GET", target, "") }

var tags = regexp.MustCompile(`<[^>]*>`)

// text is what a reader of the page sees.
func text(page string) string {
	if _, body, ok := strings.Cut(page, "<body>"); ok {
		page = body
	}
	return strings.Join(strings.Fields(strings.NewReplacer("&#43;", "+", "&amp;", "&", "&#39;", "'").Replace(tags.ReplaceAllString(page, " "))), " ")
}

const (
	failAttempt    = `UPDATE app._payment SET state = 'failed', failure_code = 'insufficient_funds', url = NULL WHERE order_id = $1`
	voidAttempt    = `UPDATE app._payment SET state = 'voided', url = NULL WHERE order_id = $1`
	doubtAttempt   = `UPDATE app._payment SET state = 'unknown', url = NULL WHERE order_id = $1`
	succeedAttempt = `UPDATE app._payment SET state = 'succeeded', charge_id = 'ch_door', card_brand = 'visa', card_last4 = '4242', url = NULL,
		updated_at = '2026-11-21T09:30:00Z' WHERE order_id = $1`
	setOrder = `UPDATE app._order SET status = $2 WHERE id = $1`
	giveBack = `INSERT INTO app._refund (id, payment_id, amount, reason, idempotency_key, state, requested_by, created_at)
		SELECT gen_random_uuid(), id, $2, 'requested_by_customer', 'back-' || $3::text, $3, 'test', '2026-11-22T10:00:00Z' FROM app._payment WHERE order_id = $1`
)

// states are all that an order can be in, and what its page must and must not say.
var states = map[string]struct {
	set     func(s *shop, id string)
	query   string
	says    []string
	never   []string
	markup  []string
	without []string
}{
	"open": {
		set:     func(*shop, string) {},
		says:    []string{"Your order is not paid yet", "Nothing has been charged", "Continue to secure checkout", "Kenya AA 2 $10.00 $20.00", "Total $30.00"},
		markup:  []string{`rel="noreferrer">Continue`, `href="/"`},
		without: []string{"http-equiv", "Total paid", "Print"},
	},
	"back from the checkout, not told yet": {
		set: func(*shop, string) {}, query: "&cs=cs_test_1",
		says: []string{"We are confirming your payment", "Do not pay again"}, never: []string{"not been charged", "othing has been charged", "Continue to secure"},
		markup: []string{`<noscript><meta http-equiv="refresh" content="3"></noscript>`, `/status.json?t=`, "&amp;cs=1"},
	},
	"processing": {
		set:  func(s *shop, id string) { s.exec(doubtAttempt, id) },
		says: []string{"We are confirming your payment", "Do not pay again", "Check again"}, never: []string{"charged"},
		markup: []string{`<noscript><meta http-equiv="refresh" content="3"></noscript>`, `data-status="processing"`},
	},
	"processing for long": {
		set: func(s *shop, id string) {
			s.exec(doubtAttempt, id)
			s.exec(`UPDATE app._order SET created_at = now() - interval '1 hour' WHERE id = $1`, id)
		},
		says: []string{"Do not pay again", "longer than usual"}, markup: []string{`content="30"`},
	},
	"failed": {
		set:  func(s *shop, id string) { s.exec(failAttempt, id) },
		says: []string{"The payment did not go through", "not have enough funds", "You have not been charged", "Try again"}, without: []string{"http-equiv"},
	},
	"expired": {
		set:  func(s *shop, id string) { s.exec(voidAttempt, id) },
		says: []string{"did not go through", "closed before it was paid", "You have not been charged", "Try again"},
	},
	"paid": {
		set: func(s *shop, id string) { s.exec(succeedAttempt, id); s.exec(setOrder, id, "paid") },
		says: []string{
			"Thank you. Your payment went through.", "This is your receipt", "Kenya AA 2 $10.00 $20.00", "Colombia 1 $10.00 $10.00", "Total paid $30.00",
			"Visa ending in 4242", "ch_door", "Bean & Co", "hello@bean.example", "21 November 2026, 09:30 UTC", "USD", "not a real receipt",
		},
		markup:  []string{`title="2026-11-21 09:30:00 UTC"`, `href="mailto:hello@bean.example"`, `datetime="2026-11-21T09:30:00Z"`},
		without: []string{"http-equiv", buyer, "Continue to secure"},
	},
	"partially refunded": {
		set: func(s *shop, id string) {
			s.exec(succeedAttempt, id)
			s.exec(setOrder, id, "partially_refunded")
			s.exec(giveBack, id, 500, "succeeded")
			s.exec(giveBack, id, 200, "pending")
			s.exec(giveBack, id, 300, "failed")
		},
		says:  []string{"Part of your payment was refunded", "Refunded, 22 November 2026, 10:00 UTC −$5.00", "Refund under way, 22 November 2026, 10:00 UTC −$2.00"},
		never: []string{"$3.00"},
	},
	"refunded": {
		set: func(s *shop, id string) {
			s.exec(succeedAttempt, id)
			s.exec(setOrder, id, "refunded")
			s.exec(giveBack, id, 3000, "succeeded")
		},
		says: []string{"Your payment was refunded", "−$30.00"},
	},
	"disputed": {
		set:  func(s *shop, id string) { s.exec(succeedAttempt, id); s.exec(setOrder, id, "disputed") },
		says: []string{"This payment is under review", "$30.00"},
	},
	"cancelled": {
		set:  func(s *shop, id string) { s.exec(voidAttempt, id); s.exec(setOrder, id, "cancelled") },
		says: []string{"You left the checkout", "Nothing was charged", "Back to the shop"}, without: []string{"Continue to secure checkout"},
	},
}

func TestOrder_SaysEveryStateInWords(t *testing.T) {
	t.Parallel()
	for name, c := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, nil)
			id, link := s.order()
			c.set(s, id)
			w := s.get(link + c.query)
			page := w.Body.String()
			if w.Code != 200 {
				t.Fatalf("status %d: %s", w.Code, page)
			}
			seen := text(page)
			for _, want := range append(c.says, id, "Sandbox – no real money moves") {
				if !strings.Contains(seen, want) {
					t.Errorf("the page does not say %q:\n%s", want, seen)
				}
			}
			for _, bad := range c.never {
				if strings.Contains(seen, bad) {
					t.Errorf("the page says %q:\n%s", bad, seen)
				}
			}
			for _, want := range append(c.markup, "<title>Sandbox – ", `<html lang="en">`, `name="robots" content="noindex`, `href="/style.css"`) {
				if !strings.Contains(page, want) {
					t.Errorf("the page lacks %s", want)
				}
			}
			for _, bad := range append(c.without, buyer, "<style", " style=", "onclick", "ZgotmplZ", "<no value>") {
				if strings.Contains(page, bad) {
					t.Errorf("the page holds %s", bad)
				}
			}
		})
	}
}

func TestOrder_HeadersKeepTheLinkSecret(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	_, link := s.order()
	for _, method := range []string{"GET", "HEAD"} {
		h := s.do(method, link, "").Header()
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow", "Content-Type": "text/html; charset=utf-8",
			"X-Content-Type-Options": "nosniff",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: policy %q lacks %s", method, policy, want)
			}
		}
	}
	if strings.Contains(link, "@") || strings.Contains(link, "lovelace") || strings.Contains(link, "example") {
		t.Errorf("the link tells who buys: %s", link)
	}
}

func TestOrder_NeedsTheWholeLink(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	id, link := s.order()
	token := link[strings.Index(link, "t=")+2:]
	const other = "/orders/00000000-0000-4000-8000-000000000000"
	for _, target := range []string{
		"/orders/" + id, "/orders/" + id + "?t=", link[:len(link)-1], link + "A", "/orders/" + id + "?t=" + strings.ToLower(token) + "x", other + "?t=" + token,
		"/orders/1?t=" + token, "/orders", "/orders/", "/orders/" + id + "/cancel", "/orders/?t=" + token, "/orders/%00?t=" + token, "/orders/" + strings.ToUpper(id) + "?t=%ff", "/orders/" + id + "/cancelled?t=wrong", "/orders/" + id + "/cancelled",
	} {
		w := s.get(target)
		if w.Code != 404 || !strings.Contains(text(w.Body.String()), "whole link") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", target, w.Code, text(w.Body.String()))
		}
		for _, secret := range []string{"Kenya", token} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s: the page shows %q", target, secret)
			}
		}
	}
	if w := s.get("/orders/" + id + "/status.json?t=wrong"); w.Code != 404 || strings.Contains(w.Body.String(), "open") {
		t.Errorf("status of a wrong link: %d %s", w.Code, w.Body)
	}
	if n := s.count(`SELECT count(*) FROM app._order WHERE status = 'cancelled'`); n != 0 {
		t.Error("a wrong link cancelled an order")
	}
}

func (s *shop) count(q string) (n int) {
	s.t.Helper()
	if err := s.db.Get(s.t.Context(), &n, q); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestOrder_StatusForThePage(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	id, link := s.order()
	status := strings.Replace(link, "?", "/status.json?", 1)
	want := func(target, part string) {
		t.Helper()
		w := s.get(target)
		if w.Code != 200 || !strings.Contains(w.Body.String(), part) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s, want %s", w.Code, w.Body, part)
		}
	}
	want(status, `"status":"open"`)
	want(status, `"checkout_url":"http`)
	want(status+"&cs=1", `"status":"processing"`)
	s.exec(succeedAttempt, id)
	s.exec(setOrder, id, "paid")
	want(status+"&cs=1", `{"status":"paid"}`)
}

func TestOrder_LeavingTheCheckoutClosesIt(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	_, link := s.order()
	left := strings.Replace(link, "?", "/cancelled?", 1)
	for range 2 {
		if seen := text(s.get(left).Body.String()); !strings.Contains(seen, "You left the checkout") || !strings.Contains(seen, "Nothing was charged") {
			t.Errorf("the page says %s", seen)
		}
	}
	if n := s.count(`SELECT count(*) FROM app._payment WHERE state = 'voided'`); n != 1 {
		t.Error("the attempt is still open")
	}
}

func TestOrder_LeavingAPaidOrderShowsTheReceipt(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	id, link := s.order()
	s.exec(succeedAttempt, id)
	s.exec(setOrder, id, "paid")
	seen := text(s.get(strings.Replace(link, "?", "/cancelled?", 1)).Body.String())
	if !strings.Contains(seen, "gone through before you left") || !strings.Contains(seen, "Total paid $30.00") || strings.Contains(seen, "Nothing was charged") {
		t.Errorf("the page says %s", seen)
	}
}

func TestOrder_TroubleIsNotCalledLost(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	_, link := s.order()
	_ = s.db.Close()
	w := s.get(link)
	if seen := text(w.Body.String()); w.Code < 500 || !strings.Contains(seen, "do not pay again") || !strings.Contains(seen, "Nothing is lost") {
		t.Errorf("%d %s", w.Code, seen)
	}
}

func TestOrder_ModesHaveTheirBanner(t *testing.T) {
	t.Parallel()
	for mode, want := range map[payments.Mode]string{payments.Test: "Test mode – no real money moves.", payments.Live: ""} {
		s := newShop(t, func(c *payments.Config) { c.Mode, c.TokenPath = mode, false })
		_, link := s.order()
		page := s.get(link).Body.String()
		if !strings.Contains(text(page), want) || strings.Contains(page, `class="banner"`) != (want != "") || strings.Contains(page, "<title>Test – ") != (want != "") {
			t.Errorf("%s: %s", mode, text(page))
		}
		config := s.get("/payments/config.json").Body.String()
		if !strings.Contains(config, `"popup":""`) || !strings.Contains(config, `"mode":"`+string(mode)+`"`) {
			t.Errorf("%s: a page would offer the card form: %s", mode, config)
		}
	}
}

func TestOrder_Script(t *testing.T) {
	t.Parallel()
	w := newShop(t, nil).get("/orders/page.js")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") || !strings.Contains(w.Body.String(), "status") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
