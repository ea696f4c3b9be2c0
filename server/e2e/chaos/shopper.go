package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// wish is how a shopper behaves.
type wish struct {
	name  string
	keyed bool // the page gave the purchase an order_key
	do    func(w *world, ctx context.Context, p *purchase, r *rand.Rand)
}

// wishes are all kinds of shoppers, by how often they come.
func wishes() []weighted[wish] {
	return []weighted[wish]{
		{14, wish{"one click", true, once}},
		{12, wish{"double click", true, doubleClick}},
		{9, wish{"repeats until sure", true, repeats}},
		{9, wish{"two tabs, two cards", true, twoTabs}},
		{9, wish{"declined, then another card", true, secondCard}},
		{4, wish{"declined", true, declined}},
		{8, wish{"double click, single-use token, no key", false, mintedDouble}},
		{4, wish{"one click, old signature", false, once}},
		{6, wish{"sends another price", true, tampers}},
		{7, wish{"closes the tab and returns", true, closesTab}},
		{4, wish{"slow card", true, slowCard}},
		{4, wish{"card with a fault", true, faultCard}},
		{5, wish{"hosted checkout", true, hosted}},
		{3, wish{"hosted, 3-D Secure", true, hostedSecure}},
		{2, wish{"hosted, cancelled or left", true, hostedLeft}},
		{2, wish{"hosted and token at once", true, bothPaths}},
	}
}

// goodCards and badCards are the provider's test tokens.
var (
	goodCards = []string{"tok_visa", "tok_mastercard", "tok_amex", "tok_discover"}
	badCards  = []string{"tok_chargeDeclined", "tok_chargeDeclinedInsufficientFunds", "tok_chargeDeclinedExpiredCard", "tok_chargeDeclinedIncorrectCvc", "tok_chargeDeclinedProcessingError"}
)

// buy is one purchase from the first click to the end of the shopper's patience.
func (w *world) buy(ctx context.Context, i int) {
	r := stream(w.o.seed, "shopper", i)
	k := pick(r, wishes())
	sleep(ctx, time.Duration(r.Int64N(int64(w.o.pause)+1)))
	p := w.newPurchase(i, k.name, k.keyed)
	k.do(w, ctx, p, r)
	if r.IntN(7) == 0 && p.sure("charge", okay) {
		w.refund(ctx, p, r)
	}
}

func (w *world) newPurchase(i int, kind string, keyed bool) *purchase {
	p := &purchase{index: i, kind: kind, email: fmt.Sprintf("shopper-%d@chaos.example", i)}
	if keyed {
		p.key = fmt.Sprintf("chaos-%d-%d", w.o.seed, i)
	}
	return w.history.open(p)
}

// call is one click on the pay button.
type call struct {
	token    string
	price    any // nil: the catalogue's
	patience time.Duration
	paused   int // so often was it told to come back in a moment
}

// pay calls process_payment and notes what the shopper was told.
func (w *world) pay(ctx context.Context, p *purchase, c call) verdict {
	if c.price == nil {
		c.price = w.prices["kenya-aa"]
	}
	body := map[string]any{"product_name": w.names["kenya-aa"], "product_price": c.price, "stripe_token": c.token, "user_email": p.email}
	if p.key != "" {
		body["order_key"] = p.key
	}
	what := c.token
	if c.price != any(w.prices["kenya-aa"]) {
		what += fmt.Sprintf(" for %v", c.price)
	}
	end := p.begin(w.history, "charge", what)
	v, detail, _ := w.ask(ctx, p, "process_payment", body, c.patience)
	end(v, detail)
	if detail == "payments_paused" && c.paused < 4 && !w.over() {
		c.paused++
		sleep(ctx, time.Duration(c.paused)*300*time.Millisecond)
		return w.pay(ctx, p, c)
	}
	return v
}

// ask calls a function of the shop from the purchase's own address.
func (w *world) ask(ctx context.Context, p *purchase, function string, body any, patience time.Duration) (verdict, string, reply) {
	if patience == 0 {
		patience = w.o.patience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := json.Marshal(body)
	if err != nil {
		return info, err.Error(), reply{}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.shop+"/lambda/"+function, bytes.NewReader(b))
	if err != nil {
		return info, err.Error(), reply{}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Skygear-Api-Key", apiKey)
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", p.index>>16&255, p.index>>8&255, p.index&255))
	resp, err := w.client.Do(req)
	if err != nil {
		return info, "no reply: " + short(err), reply{}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return info, "half a reply: " + short(err), reply{}
	}
	w.replies.look("a reply of "+function, text)
	return judge(resp.StatusCode, text)
}

func short(err error) string {
	s := err.Error()
	return s[max(0, strings.LastIndex(s, "\": ")+1):]
}

// insist repeats a call until the shopper is sure, or has no patience left.
func (w *world) insist(ctx context.Context, p *purchase, r *rand.Rand, c call) verdict {
	v := info
	for try := range w.o.tries {
		if v = w.pay(ctx, p, c); v != info || w.over() {
			break
		}
		sleep(ctx, time.Duration(50+r.IntN(300)*(try+1))*time.Millisecond)
	}
	return v
}

func oneOf(r *rand.Rand, of []string) string { return of[r.IntN(len(of))] }

func once(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	w.pay(ctx, p, call{token: oneOf(r, goodCards)})
}

func doubleClick(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	w.together(ctx, p, call{token: oneOf(r, goodCards)}, 2+r.IntN(3))
	if r.IntN(2) == 0 {
		w.insist(ctx, p, r, call{token: oneOf(r, goodCards)})
	}
}

func (w *world) together(ctx context.Context, p *purchase, c call, n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { w.pay(ctx, p, c) })
	}
	all.Wait()
}

func repeats(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	c := call{token: oneOf(r, goodCards)}
	w.insist(ctx, p, r, c)
	w.pay(ctx, p, c) // and reloads
}

func twoTabs(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	first, second := oneOf(r, goodCards), oneOf(r, goodCards)
	if r.IntN(3) == 0 {
		first = oneOf(r, badCards)
	}
	var both sync.WaitGroup
	for _, token := range []string{first, second} {
		wait := time.Duration(r.IntN(60)) * time.Millisecond
		both.Go(func() {
			sleep(ctx, wait)
			w.pay(ctx, p, call{token: token})
		})
	}
	both.Wait()
	w.insist(ctx, p, r, call{token: second})
}

func secondCard(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	w.insist(ctx, p, r, call{token: oneOf(r, badCards)})
	w.insist(ctx, p, r, call{token: oneOf(r, goodCards)})
}

func declined(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	w.together(ctx, p, call{token: oneOf(r, badCards)}, 1+r.IntN(2))
}

// mintedDouble has no key: its single-use token joins the clicks.
func mintedDouble(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	if token := w.mint(ctx); token != "" {
		w.together(ctx, p, call{token: token}, 2+r.IntN(2))
		w.insist(ctx, p, r, call{token: token})
	}
}

// mint makes a single-use token as the card form does, "" when the provider fails.
func (w *world) mint(ctx context.Context) string {
	form := url.Values{
		"card[number]": {"4242424242424242"}, "card[exp_month]": {"12"}, "card[exp_year]": {"2034"}, "card[cvc]": {"123"},
		"key": {"pk_test_" + derive("sandbox publishable")},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.stripe+"/v1/tokens", strings.NewReader(form.Encode()))
	if err != nil {
		return ""
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := w.client.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var token struct{ ID string }
	if json.NewDecoder(resp.Body).Decode(&token) != nil {
		return ""
	}
	return token.ID
}

// tampers asks for the beans at a price of its own, and sometimes pays the right one afterwards.
func tampers(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	prices := []any{1, 0, -1, "1000", 999, 1001, 1e15, 0.5, map[string]any{}, json.RawMessage("9223372036854775808"), json.RawMessage("1e2")}
	w.pay(ctx, p, call{token: oneOf(r, goodCards), price: prices[r.IntN(len(prices))]})
	if r.IntN(2) == 0 {
		w.insist(ctx, p, r, call{token: oneOf(r, goodCards)})
	}
}

func closesTab(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	c := call{token: oneOf(r, goodCards), patience: time.Duration(1+r.IntN(40)) * time.Millisecond}
	w.pay(ctx, p, c)
	if r.IntN(3) > 0 {
		sleep(ctx, time.Duration(r.IntN(200))*time.Millisecond)
		w.insist(ctx, p, r, call{token: oneOf(r, []string{c.token, "tok_mastercard"})})
	}
}

func slowCard(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	w.together(ctx, p, call{token: fmt.Sprintf("tok_sandbox_slow_%d", 100+r.IntN(1200))}, 1+r.IntN(2))
}

func faultCard(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	fault := oneOf(r, []string{"429", "500", "500_after", "drop_before", "drop_after"})
	w.pay(ctx, p, call{token: "tok_sandbox_" + fault})
	w.pay(ctx, p, call{token: "tok_visa"})
}
