package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// The waiting of §2.4 takes minutes and hours. While no server is alive, leases and pauses may be taken as
// over and ages moved back: the next server cannot tell that from time that passed.
const (
	// A third of what is open is replayed at once, a third is found by a server that comes a quarter of an
	// hour late, a third by one that comes after the provider has forgotten the keys.
	endLeases = `UPDATE app._payment SET lease_until = NULL, next_try_at = CASE WHEN get_byte(uuid_send(id), 0) % 3 = 2 AND $1
		THEN now() + interval '1 hour' ELSE now() END WHERE state IN ('pending', 'sent', 'unknown', 'requires_action')`
	endRefundLeases = `UPDATE app._refund SET lease_until = NULL, next_try_at = CASE WHEN state = 'sent' AND get_byte(uuid_send(id), 0) % 3 = 2 AND $1
		THEN now() + interval '1 hour' ELSE now() END WHERE state IN ('sent', 'unknown', 'pending')`
	ageSome = `UPDATE app._payment SET sent_at = sent_at - interval '16 minutes'
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
	c, err := w.launch("refund-reply")
	if err != nil {
		return err
	}
	late := time.NewTimer(10 * time.Second)
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
