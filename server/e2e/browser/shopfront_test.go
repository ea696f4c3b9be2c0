// Package browser holds the tests of everything that runs in a browser: the shop page, the SDK and the popup.
// Most of them talk to the small shopfront in this file, which answers as the server does and fails on demand.
package browser

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"crema/server/web/checkout/assets"
	"crema/server/web/skygear"
)

const paid = `{"result":{"result":[{"_id":"payment_record/r1","product":"Kenya AA","amount":10,"amount_minor":1000,"currency":"usd",
"receipt_email":"ada@example.com","charge_id":"ch_sandbox_1","status":"succeeded","_created_at":"2026-11-21T09:30:00Z"}],
"order_id":"ord_7QK2M4","status_url":"/orders/ord_7QK2M4?t=view"}}`

// failed is the answer of process_payment to a payment that did not go through.
func failed(code, message string) reply {
	return reply{body: `{"result":{"results":"failed","error":{"code":"` + code + `","message":"` + message +
		`","retryable":true,"order_id":"ord_7QK2M4","status_url":"/orders/ord_7QK2M4?t=view"}}}`}
}

// reply is one answer of the shopfront. The zero status is 200. lost cuts the connection instead of answering.
// hold keeps the answer back until it is closed.
type reply struct {
	status int
	body   string
	lost   bool
	hold   chan struct{}
}

// payment is one call of process_payment as it arrived.
type payment struct {
	Args struct {
		Product  string `json:"product_name"`
		Price    int64  `json:"product_price"`
		Token    string `json:"stripe_token"`
		Email    string `json:"user_email"`
		OrderKey string `json:"order_key"`
	} `json:"args"`
}

// checkoutCall is one call of create_checkout as it arrived.
type checkoutCall struct {
	Args struct {
		Items []struct {
			Product  string `json:"product_id"`
			Quantity int    `json:"quantity"`
		} `json:"items"`
		Email    string `json:"email"`
		OrderKey string `json:"order_key"`
	} `json:"args"`
}

// shopfront is a server with the site, the SDK, the popup and three answers of the back end.
type shopfront struct {
	*httptest.Server
	t *testing.T

	mu        sync.Mutex
	config    string
	pages     map[string]string // further pages by path, for tests of the popup on other people's pages
	configBad bool
	replies   []reply // of process_payment, in turn; the last one repeats
	tokens    []reply // of /_stripe/v1/tokens, in turn; none left: a token
	payments  []payment
	checkouts []reply // of create_checkout, in turn; the last one repeats
	checkedAt []checkoutCall
	order     string // how the order at /orders/o1 stands
	cards     []url.Values
	raw       []*http.Request // calls to /sdk-test, with bodies in rawBody
	rawBody   []string
}

const config = `{"mode":"sandbox","currency":"usd","key":"pk_test_shop","api_key":"public-key","banner":"Sandbox – no real money moves. Pay with a test card.",
"popup":"/stripe/checkout.js","products":[
{"id":"kenya-aa","name":"Kenya AA","currency":"usd","unit_amount":1000,"weight_grams":200,"description":"Blackcurrant, grapefruit and brown sugar. Washed, from the slopes of Mount Kenya."},
{"id":"colombia","name":"Colombia","currency":"usd","unit_amount":1000,"weight_grams":200,"description":"Red apple, caramel and cocoa. Washed, from small farms in Huila."},
{"id":"ethiopia","name":"Ethiopia","currency":"usd","unit_amount":1000,"weight_grams":200,"description":"Jasmine, peach and honey. Natural, from Yirgacheffe."}]}`

// newShopfront starts a shopfront that answers process_payment with the replies in turn.
func newShopfront(t *testing.T, replies ...reply) *shopfront {
	t.Helper()
	s := &shopfront{t: t, config: config, replies: replies}
	mux := http.NewServeMux()
	site := http.FileServerFS(os.DirFS("../../../public_html"))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if page, ok := s.pages[r.URL.Path]; ok {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, page)
			return
		}
		site.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /charge", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		json.NewEncoder(w).Encode(r.PostForm)
	})
	mux.Handle("GET /sdk/", http.StripPrefix("/sdk", skygear.SDK()))
	mux.HandleFunc("GET /stripe/checkout.js", asset("checkout.js", "text/javascript"))
	mux.HandleFunc("GET /_stripe/checkout/frame", asset("frame.html", "text/html; charset=utf-8"))
	mux.HandleFunc("GET /_stripe/checkout/frame.js", asset("frame.js", "text/javascript"))
	mux.HandleFunc("GET /_stripe/checkout/frame.css", asset("frame.css", "text/css"))
	mux.HandleFunc("GET /payments/config.json", s.serveConfig)
	mux.HandleFunc("POST /_stripe/v1/tokens", s.serveToken)
	mux.HandleFunc("POST /process_payment", s.servePayment)
	mux.HandleFunc("POST /create_checkout", s.serveCheckout)
	mux.HandleFunc("GET /orders/o1/status.json", s.serveOrder)
	mux.HandleFunc("POST /sdk-test/", s.serveRaw)
	s.Server = httptest.NewUnstartedServer(mux)
	s.Config.SetKeepAlivesEnabled(false) // on a reused connection the browser itself would repeat a lost POST
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		data, err := fs.ReadFile(assets.FS, name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind)
		if name == "frame.html" {
			w.Header().Set("Content-Security-Policy", assets.FramePolicy)
		}
		w.Write(data)
	}
}

func (s *shopfront) serveConfig(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.configBad {
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, s.config)
}

func (s *shopfront) serveToken(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	s.mu.Lock()
	s.cards = append(s.cards, r.PostForm)
	var next reply
	if len(s.tokens) > 0 {
		next, s.tokens = s.tokens[0], s.tokens[1:]
	}
	s.mu.Unlock()
	if next.body == "" {
		next.body = `{"id":"tok_1Aa","object":"token","type":"card","used":false,"livemode":false,"created":1,"email":null,
			"card":{"brand":"Visa","last4":"4242","exp_month":12,"exp_year":2030}}`
	}
	s.answer(w, r, next)
}

func (s *shopfront) servePayment(w http.ResponseWriter, r *http.Request) {
	var call payment
	json.NewDecoder(r.Body).Decode(&call)
	s.mu.Lock()
	s.payments = append(s.payments, call)
	next := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	s.mu.Unlock()
	s.answer(w, r, next)
}

func (s *shopfront) serveCheckout(w http.ResponseWriter, r *http.Request) {
	var call checkoutCall
	json.NewDecoder(r.Body).Decode(&call)
	s.mu.Lock()
	s.checkedAt = append(s.checkedAt, call)
	next := s.checkouts[0]
	if len(s.checkouts) > 1 {
		s.checkouts = s.checkouts[1:]
	}
	s.mu.Unlock()
	s.answer(w, r, next)
}

func (s *shopfront) serveOrder(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.order == "" || r.URL.Query().Get("t") != "view" {
		http.NotFound(w, r)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"status": s.order})
}

func (s *shopfront) seenCheckouts() []checkoutCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]checkoutCall(nil), s.checkedAt...)
}

// serveRaw answers SDK tests: the last part of the path says how.
func (s *shopfront) serveRaw(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.raw, s.rawBody = append(s.raw, r), append(s.rawBody, string(body))
	s.mu.Unlock()
	answers := map[string]reply{
		"echo":    {body: `{"result":` + string(body) + `}`},
		"null":    {body: `{}`},
		"zero":    {body: `{"result":0}`},
		"date":    {body: `{"result":{"when":{"$type":"date","$date":"2026-01-02T03:04:05.678Z"},"list":[{"$type":"date","$date":"2026-01-02T03:04:05Z"}],"geo":{"$type":"geo","$lat":1,"$lng":2}}}`},
		"refused": {status: 400, body: `{"error":{"name":"InvalidArgument","code":108,"message":"product_name is missing","info":{"arguments":["product_name"]}}}`},
		"bare":    {status: 502, body: `<h1>Bad gateway</h1>`},
		"garbled": {body: `{"result":`},
		"lost":    {lost: true},
		"slow":    {hold: make(chan struct{})},
	}
	s.answer(w, r, answers[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]])
}

func (s *shopfront) answer(w http.ResponseWriter, r *http.Request, a reply) {
	if a.hold != nil {
		select {
		case <-a.hold:
		case <-r.Context().Done():
			return
		}
	}
	if a.lost {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	io.WriteString(w, a.body)
}

func (s *shopfront) seenPayments() []payment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]payment(nil), s.payments...)
}

func (s *shopfront) seenCards() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]url.Values(nil), s.cards...)
}

func (s *shopfront) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
