package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// basket is what a shopper of the hosted checkout puts together, and what it must cost.
func (w *world) basket(r *rand.Rand) []map[string]any {
	items := []map[string]any{{"product_id": "kenya-aa", "quantity": 1 + r.IntN(3)}}
	if r.IntN(2) == 0 {
		items = append(items, map[string]any{"product_id": "ethiopia", "quantity": 1})
	}
	return items
}

// checkout opens the provider's page and returns its address, "" when the shopper got none.
func (w *world) checkout(ctx context.Context, p *purchase, r *rand.Rand, basket []map[string]any) string {
	for try := range w.o.tries {
		end := p.begin(w.history, "checkout", fmt.Sprint(basket))
		v, detail, answer := w.ask(ctx, p, "create_checkout", map[string]any{"items": basket, "email": p.email, "order_key": p.key}, 0)
		end(v, detail)
		if answer.Result.URL != "" || v != info || w.over() {
			return answer.Result.URL
		}
		sleep(ctx, time.Duration(50+r.IntN(300)*(try+1))*time.Millisecond)
	}
	return ""
}

// atPage enters a card at the provider's page, and returns where the page leads then.
func (w *world) atPage(ctx context.Context, p *purchase, page, card string) string {
	end := p.begin(w.history, "page", card)
	to, detail := w.submit(ctx, page, url.Values{"number": {card}, "expiry": {"12 / 34"}, "cvc": {"123"}, "email": {p.email}})
	end(info, detail)
	return to
}

// atBank answers the bank's question.
func (w *world) atBank(ctx context.Context, p *purchase, page, outcome string) string {
	end := p.begin(w.history, "bank", outcome)
	to, detail := w.submit(ctx, page, url.Values{"outcome": {outcome}})
	end(info, detail)
	return to
}

// submit posts a form of the provider's pages and returns the address that it leads to.
func (w *world) submit(ctx context.Context, page string, form url.Values) (to, detail string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, page, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err.Error()
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := w.client.Do(req)
	if err != nil {
		return "", "no reply: " + short(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	u, err := resp.Location()
	if err != nil {
		return "", fmt.Sprintf("HTTP %d", resp.StatusCode)
	}
	return u.String(), fmt.Sprintf("HTTP %d to %s", resp.StatusCode, u.Path)
}

// comeBack opens the page that the provider leads to; others close the browser there.
func (w *world) comeBack(ctx context.Context, to string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil || !strings.HasPrefix(to, w.shop) {
		return
	}
	if resp, err := w.client.Do(req); err == nil {
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		w.replies.look("an order page", text)
	}
}

func hosted(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	page := w.checkout(ctx, p, r, w.basket(r))
	if page == "" {
		return
	}
	if r.IntN(3) == 0 {
		w.atPage(ctx, p, page, "4000000000000002") // declined
	}
	var to string
	if r.IntN(3) == 0 { // a double click
		var both sync.WaitGroup
		both.Go(func() { w.atPage(ctx, p, page, "4242424242424242") })
		both.Go(func() { to = w.atPage(ctx, p, page, "4242424242424242") })
		both.Wait()
	} else {
		to = w.atPage(ctx, p, page, "5555555555554444")
	}
	if r.IntN(2) == 0 {
		w.comeBack(ctx, to)
	}
}

func hostedSecure(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	page := w.checkout(ctx, p, r, w.basket(r))
	if page == "" {
		return
	}
	bank := w.atPage(ctx, p, page, "4000000000003220")
	if !strings.Contains(bank, "/3ds/") {
		return
	}
	outcome := oneOf(r, []string{"complete", "complete", "fail"})
	to := w.atBank(ctx, p, bank, outcome)
	if outcome == "fail" && r.IntN(2) == 0 {
		to = w.atPage(ctx, p, page, "4242424242424242")
	}
	if r.IntN(2) == 0 {
		w.comeBack(ctx, to)
	}
}

// hostedLeft changes the basket, so that the first page must not be payable any more, or just leaves.
func hostedLeft(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	first := w.checkout(ctx, p, r, []map[string]any{{"product_id": "kenya-aa", "quantity": 1}})
	if first == "" || r.IntN(2) == 0 {
		return
	}
	second := w.checkout(ctx, p, r, []map[string]any{{"product_id": "colombia", "quantity": 2}})
	var both sync.WaitGroup
	both.Go(func() { w.atPage(ctx, p, first, "4242424242424242") })
	if second != "" {
		both.Go(func() { w.atPage(ctx, p, second, "4242424242424242") })
	}
	both.Wait()
}

// bothPaths pays the same order at the provider's page and with a token.
func bothPaths(w *world, ctx context.Context, p *purchase, r *rand.Rand) {
	basket := []map[string]any{{"product_id": "kenya-aa", "quantity": 1}}
	var both sync.WaitGroup
	both.Go(func() { w.pay(ctx, p, call{token: "tok_visa", patience: 2 * time.Second}) })
	both.Go(func() {
		if page := w.checkout(ctx, p, r, basket); page != "" {
			w.atPage(ctx, p, page, "4242424242424242")
		}
	})
	both.Wait()
}
