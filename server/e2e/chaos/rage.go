package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/cluster"
)

// rage lets shoppers buy while everything fails, until the plan is done or the time is over.
func (w *world) rage(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, w.o.atMost)
	defer stop()
	w.over = func() bool { return ctx.Err() != nil }
	var background, shoppers sync.WaitGroup
	calm, end := context.WithCancel(ctx)
	w.server.keep(ctx)
	background.Go(func() { w.breakSandbox(calm) })
	background.Go(func() { w.breakDatabase(calm) })
	var next atomic.Int64
	for range w.o.shoppers {
		shoppers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if ctx.Err() != nil || i >= w.o.orders && w.server.kills() >= w.o.kills {
					return
				}
				w.buy(context.WithoutCancel(ctx), i)
			}
		})
	}
	shoppers.Wait()
	end()
	background.Wait()
	w.lastWave(int(next.Load()))
	return nil
}

// breakSandbox adds fault after fault until ctx ends.
func (w *world) breakSandbox(ctx context.Context) {
	for i := 0; ; i++ {
		r := stream(w.o.seed, "calm", i)
		if !sleep(ctx, time.Duration(r.Int64N(int64(2*w.o.calm)))) {
			break
		}
		if i%50 == 49 { // rules that nothing matched
			w.control(ctx, http.MethodDelete, "faults", nil)
		}
		f := rulePlan(w.o.seed, i)
		name := "webhook: " + f.Webhook
		if f.Action != "" {
			name = "provider: " + f.Action
		}
		if f.Action == "status" || f.Action == "status_after" {
			name += fmt.Sprintf(" %d", f.Status)
		}
		if w.control(ctx, http.MethodPost, "faults", f) {
			w.faults.add(name)
		}
	}
}

// control talks to the sandbox's own side.
func (w *world) control(ctx context.Context, method, path string, body any) bool {
	b, err := json.Marshal(body)
	if err != nil {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, method, w.stripe+"/_sandbox/"+path, bytes.NewReader(b))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+derive("sandbox admin"))
	resp, err := w.client.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// breakDatabase kills and restarts PostgreSQL and cuts its connections until ctx ends.
func (w *world) breakDatabase(ctx context.Context) {
	for i := 0; ; i++ {
		r := stream(w.o.seed, "database calm", i)
		if !sleep(ctx, w.o.database/2+time.Duration(r.Int64N(int64(w.o.database)))) {
			return
		}
		what := databasePlan(w.o.seed, i)
		if err := w.breakOnce(context.WithoutCancel(ctx), what); err != nil {
			w.faults.add("database: does not come back: " + err.Error())
			return
		}
		w.faults.add("database: " + string(what))
	}
}

func (w *world) breakOnce(ctx context.Context, what databaseFault) error {
	switch what {
	case cutConnections: // in the midst of statements and commits
		_, err := w.provider.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, cluster.Database)
		return err
	case restartDatabase:
		if err := w.database.Stop(ctx); err != nil {
			return err
		}
	case killDatabase:
		if err := w.killPostgres(); err != nil {
			return err
		}
	}
	url := w.url
	if err := w.startDatabase(ctx); err != nil {
		return err
	}
	if w.url != url {
		return fmt.Errorf("it moved from %s to %s", url, w.url)
	}
	return nil
}

// lastWave leaves payments of which the provider has taken the money and the server never heard: all
// replies to charges are lost, then the server dies.
func (w *world) lastWave(from int) {
	w.server.stop()
	ctx := context.Background()
	w.control(ctx, http.MethodDelete, "faults", nil)
	lost := rule{Action: "drop_after", Times: 1000}
	lost.Match.Path = "/v1/charges*"
	w.control(ctx, http.MethodPost, "faults", lost)
	lost.Match.Path, lost.Action = "/v1/refunds", "drop_before"
	w.control(ctx, http.MethodPost, "faults", lost)
	c, err := w.launch("before-settle:4")
	if err != nil {
		return
	}
	w.server.set(c)
	if w.answers(ctx, w.shop+"/healthz", c.exited) != nil {
		return
	}
	var wave sync.WaitGroup
	wave.Go(func() { w.lostRefund(ctx) })
	for i := range 8 {
		wave.Go(func() {
			p := w.newPurchase(from+i, "last wave", true)
			w.pay(ctx, p, call{token: "tok_visa", patience: 3 * time.Second})
		})
	}
	wave.Wait()
	c.kill()
	w.faults.add("kill: with every reply lost")
	w.control(ctx, http.MethodDelete, "faults", nil)
}

// lostRefund asks for a refund of which the provider never hears, so that a server has to send it later.
func (w *world) lostRefund(ctx context.Context) {
	for _, p := range w.history.purchases() {
		var id string
		if p.sure("charge", okay) && w.db.Get(ctx, &id, findPayment+` AND p.amount_refunded = 0`, p.email) == nil {
			w.refundOnce(ctx, p, id, 0)
			return
		}
	}
}
