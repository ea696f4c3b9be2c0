package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/payments"
)

// The second role: an operator whose process dies when the provider has answered.
const (
	roleOperator    = "operator"
	paymentVariable = "CREMA_CHAOS_PAYMENT"
	stripeVariable  = "CREMA_CHAOS_STRIPE"
)

const findPayment = `SELECT p.id FROM app._payment p JOIN app._order o ON o.id = p.order_id WHERE o.email = $1 AND p.state = 'succeeded'`

// refund gives all or a part of a purchase back, sometimes twice at once, sometimes with an operator who
// dies in it.
func (w *world) refund(ctx context.Context, p *purchase, r *rand.Rand) {
	amounts := []int64{0, 0, 400, 600, 1000}
	first, second := amounts[r.IntN(len(amounts))], amounts[r.IntN(len(amounts))]
	way := r.IntN(8)
	var id string
	if w.db.Get(ctx, &id, findPayment, p.email) != nil {
		return
	}
	switch way {
	case 0:
		w.dyingRefund(p, id)
	case 1, 2:
		var both sync.WaitGroup
		both.Go(func() { w.refundOnce(ctx, p, id, first) })
		both.Go(func() { w.refundOnce(ctx, p, id, second) })
		both.Wait()
	default:
		w.refundOnce(ctx, p, id, first)
	}
}

func (w *world) refundOnce(ctx context.Context, p *purchase, id string, amount int64) {
	end := p.begin(w.history, "refund", fmt.Sprint(amount))
	got, err := w.refunds.Refund(ctx, payments.RefundRequest{PaymentID: id, Amount: amount, Reason: "requested_by_customer", By: "chaos"})
	switch {
	case err == nil && got.State == "succeeded":
		end(okay, got.ID)
	case err == nil && got.State == "failed":
		end(failed, got.ID)
	case err == nil:
		end(info, got.ID+" "+got.State)
	case fault.From(err).Code == fault.Constraint:
		end(failed, fault.From(err).Reason)
	default:
		end(info, fault.From(err).Reason)
	}
}

func (w *world) dyingRefund(p *purchase, id string) {
	end := p.begin(w.history, "refund", "by an operator who dies")
	self, err := os.Executable()
	if err != nil {
		end(info, err.Error())
		return
	}
	c, err := w.spawn("operator", exec.Command(self), roleVariable+"="+roleOperator, "DATABASE_URL="+w.url,
		paymentVariable+"="+id, stripeVariable+"="+w.stripe)
	if err != nil {
		end(info, err.Error())
		return
	}
	<-c.exited
	end(info, "the operator ended")
	w.faults.add("operator dies after the provider's reply")
}

// runOperator refunds a payment and dies between the provider's reply and our commit.
func runOperator() int {
	ctx := context.Background()
	db, err := pg.Open(ctx, pg.Config{URL: os.Getenv("DATABASE_URL"), Schema: schema, MaxConns: 2})
	if err != nil {
		return 1
	}
	s, err := payments.New(payments.Config{
		DB: db, Log: quiet(), Install: appName, Mode: payments.Sandbox, SecretKey: "sk_test_" + derive("sandbox secret"),
		URL: os.Getenv(stripeVariable), LinkKey: derive("order links"),
		Failpoint: func(name string) {
			if name == "refund-reply" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		},
	})
	if err != nil {
		return 1
	}
	_, err = s.Refund(ctx, payments.RefundRequest{PaymentID: os.Getenv(paymentVariable), Reason: "duplicate", By: "chaos, dying"})
	if err != nil {
		return 1
	}
	return 0
}
