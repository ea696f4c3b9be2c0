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
	return w.startDatabase(ctx)
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

// lostRefund asks for a refund of which the provider never hears, so that a server has to send it later. Any payment in the
// ledger will do, of which nothing was asked back: on a busy machine no shopper may have waited long enough to be told of one.
func (w *world) lostRefund(ctx context.Context) {
	for _, p := range w.history.purchases() {
		var id string
		if w.db.Get(ctx, &id, findPayment+` AND NOT EXISTS (SELECT FROM app._refund r WHERE r.payment_id = p.id)`, p.email) == nil {
			w.refundOnce(ctx, p, id, 0)
			return
		}
	}
}

// The waiting of §2.4 takes minutes and hours. While no server is alive, leases and pauses may be taken as
// over and ages moved back: the next server cannot tell that from time that passed.
const (
	// A third of what is open is replayed at once, a third is found by a server that comes a quarter of an
	// hour late, a third by one that comes after the provider has forgotten the keys.
	endLeases = `UPDATE app._payment SET lease_until = NULL, next_try_at = CASE WHEN get_byte(uuid_send(id), 0) % 3 = 2 AND $1
		THEN now() + interval '1 hour' ELSE now() END WHERE state IN ('pending', 'sent', 'unknown', 'requires_action')`
	endRefundLeases = `UPDATE app._refund SET lease_until = NULL, next_try_at = CASE WHEN state = 'sent' AND get_byte(uuid_send(id), 0) % 3 = 2 AND $1
		THEN now() + interval '1 hour' ELSE now() END WHERE state IN ('sent', 'unknown', 'pending')`
	ageSome = `UPDATE app._payment SET sent_at = sent_at - interval '21 minutes'
		WHERE state IN ('pending', 'sent', 'unknown', 'requires_action') AND (get_byte(uuid_send(id), 0) % 3 = 1 OR error_stored)`
	ageAll = `UPDATE app._payment SET sent_at = sent_at - interval '25 hours', created_at = created_at - interval '25 hours'
		WHERE state IN ('pending', 'sent', 'unknown', 'requires_action')`
	ageRefunds  = `UPDATE app._refund SET created_at = created_at - interval '25 hours' WHERE state IN ('sent', 'unknown', 'pending')`
	readNotices = `UPDATE app._provider_event SET next_try_at = now() WHERE processed_at IS NULL`
	countDue    = `SELECT (SELECT count(*) FROM app._payment WHERE state IN ('pending', 'sent', 'unknown', 'requires_action') AND
			(next_try_at <= now() + interval '1 minute' OR lease_until > now()) AND kind = 'charge' AND NOT (error_stored AND sent_at > now() - interval '10 minutes'))
		+ (SELECT count(*) FROM app._refund WHERE state IN ('sent', 'unknown', 'pending') AND (next_try_at <= now() + interval '1 minute' OR lease_until > now()))
		+ (SELECT count(*) FROM app._provider_event WHERE processed_at IS NULL)`
	countOpen = `SELECT (SELECT count(*) FROM app._payment WHERE state IN ('pending', 'sent', 'unknown', 'requires_action'))
		+ (SELECT count(*) FROM app._refund WHERE state IN ('sent', 'unknown', 'pending'))
		+ (SELECT count(*) FROM app._provider_event WHERE processed_at IS NULL)`
)

// endPauses lets what nobody works on be tried again soon.
var endPauses = []string{
	`UPDATE app._payment SET next_try_at = now() + interval '1 second' WHERE state IN ('pending', 'sent', 'unknown', 'requires_action')
		AND lease_until IS NULL AND next_try_at BETWEEN now() + interval '2 seconds' AND now() + interval '50 minutes'`,
	`UPDATE app._refund SET next_try_at = now() + interval '1 second' WHERE state IN ('sent', 'unknown', 'pending')
		AND lease_until IS NULL AND next_try_at BETWEEN now() + interval '2 seconds' AND now() + interval '50 minutes'`,
	`UPDATE app._provider_event SET next_try_at = now() + interval '1 second'
		WHERE processed_at IS NULL AND next_try_at > now() + interval '2 seconds'`,
}

// settle lets the shop come to rest without faults: first soon, then a day later.
func (w *world) settle(ctx context.Context) error {
	w.server.stop()
	w.control(ctx, http.MethodDelete, "faults", nil)
	if err := w.pass(ctx, true, ageSome); err != nil {
		return err
	}
	if err := w.dieInRefund(ctx); err != nil {
		return err
	}
	if err := w.come(ctx, countDue); err != nil {
		return err
	}
	w.server.stop()
	if !w.control(ctx, http.MethodPost, "clock", map[string]int{"advance_seconds": 25 * 60 * 60}) {
		return fmt.Errorf("the sandbox's clock cannot be moved")
	}
	if err := w.pass(ctx, false, ageAll, ageRefunds); err != nil {
		return err
	}
	return w.come(ctx, countOpen)
}

// dieInRefund lets a server die when the provider has answered to a refund that was open.
func (w *world) dieInRefund(ctx context.Context) error {
	if _, err := w.db.Exec(ctx, endRefundLeases, false); err != nil { // of all: it may be the only one that would be held back
		return err
	}
	c, err := w.launch("refund-reply")
	if err != nil {
		return err
	}
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	select {
	case <-c.exited:
		w.faults.add("kill: refund-reply")
	case <-late.C:
		c.kill()
	}
	return w.pass(ctx, true)
}

// pass ends leases and pauses, and moves ages back. hold keeps a third for later.
func (w *world) pass(ctx context.Context, hold bool, more ...string) error {
	for _, q := range []string{endLeases, endRefundLeases} {
		if _, err := w.db.Exec(ctx, q, hold); err != nil {
			return err
		}
	}
	for _, q := range append(more, readNotices) {
		if _, err := w.db.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// come starts a server and waits until nothing is left to do for it.
func (w *world) come(ctx context.Context, left string) error {
	c, err := w.launch("")
	if err != nil {
		return err
	}
	w.server.set(c)
	if err := w.answers(ctx, w.shop+"/healthz", c.exited); err != nil {
		return err
	}
	n := -1
	for deadline := time.Now().Add(90 * time.Second); n != 0 && time.Now().Before(deadline); { // I7 tells what is open
		if err := w.db.Get(ctx, &n, left); err != nil {
			return err
		}
		for _, q := range endPauses {
			if _, err := w.db.Exec(ctx, q); err != nil {
				return err
			}
		}
		if !sleep(ctx, 250*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}
