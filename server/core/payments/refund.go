package payments

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/payments/money"
	"crema/server/core/payments/provider"
)

// RefundRequest asks to give money back.
type RefundRequest struct {
	PaymentID string
	Amount    int64  // minor units; 0: all that is left
	Reason    string // duplicate, fraudulent or requested_by_customer
	Note      string // for the trail, stays here
	// ExpectedRefunded is what the operator believes was refunded before; nil: not compared. It keeps two
	// people with the same old page from refunding twice.
	ExpectedRefunded *int64
	By               string // who asks, for the trail
}

// Refunded is what became of a refund.
type Refunded struct {
	ID     string
	State  string // sent, unknown, pending, succeeded, failed, needs_review
	Amount money.Money
	Left   money.Money // that can still be refunded
}

// reasons are those that the provider knows.
var reasons = []string{"duplicate", "fraudulent", "requested_by_customer"}

// Refund gives money back for a succeeded payment, at most what was charged, over all refunds that may
// have left. It is written before the provider is called, under a key of its own; when the outcome is not
// known it is found out later, and counts as refunded until then. Reasons: payments.refund_reason,
// payments.no_payment, payments.not_paid, payments.disputed, payments.refund_stale, payments.refund_too_much.
func (s *Service) Refund(ctx context.Context, r RefundRequest) (Refunded, error) {
	if !slices.Contains(reasons, r.Reason) {
		return Refunded{}, fault.Argument("payments.refund_reason", "reason", "give a reason: %s", strings.Join(reasons, ", "))
	}
	id, a, err := s.beginRefund(ctx, r)
	if err != nil {
		return Refunded{}, err
	}
	s.driveRefund(context.WithoutCancel(ctx), id)
	return s.refunded(ctx, id, a)
}

func (s *Service) refunded(ctx context.Context, id string, a attempt) (Refunded, error) {
	var row refund
	if err := s.db.Get(ctx, &row, selectRefund, id); err != nil {
		return Refunded{}, err
	}
	var gone int64
	err := s.db.Get(ctx, &gone, sumRefunds, a.ID)
	return Refunded{
		ID: id, State: row.State, Amount: money.Money{Minor: row.Amount, Currency: a.Currency},
		Left: money.Money{Minor: a.Amount - gone, Currency: a.Currency},
	}, err
}

func (s *Service) beginRefund(ctx context.Context, r RefundRequest) (id string, a attempt, err error) {
	if _, err := uuid.Parse(r.PaymentID); err != nil {
		return "", a, noPayment()
	}
	id = uuid.NewString()
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		a = attempt{}
		if err := tx.Get(ctx, &a, lockAttempt, r.PaymentID); err != nil {
			if fault.Is(err, "pg.no_rows") {
				err = noPayment()
			}
			return err
		}
		var gone int64
		if err := tx.Get(ctx, &gone, sumRefunds, a.ID); err != nil {
			return err
		}
		amount, err := refundable(a, r, gone)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertRefund, id, a.ID, amount, r.Reason, r.Note, s.c.Install+"-ref-"+id, r.By, lease.Seconds(), s.owner)
		return err
	})
	return id, a, err
}

func noPayment() error {
	return fault.New(fault.NotFound, "payments.no_payment", "there is no such payment; `crema payments list` shows their ids")
}

// refundable returns the amount to refund, or why nothing may be.
func refundable(a attempt, r RefundRequest, gone int64) (int64, error) {
	left := a.Amount - gone
	amount := r.Amount
	if amount == 0 {
		amount = left
	}
	switch {
	case a.State != provider.Succeeded:
		return 0, fault.New(fault.Constraint, "payments.not_paid", "the payment is %s; only a succeeded one can be refunded", a.State)
	case a.Dispute != "" && a.Dispute != "won" && !strings.HasPrefix(a.Dispute, "warning_"):
		return 0, fault.New(fault.Constraint, "payments.disputed", "the payment is disputed; the bank decides, answer the dispute instead")
	case r.ExpectedRefunded != nil && *r.ExpectedRefunded != gone:
		return 0, fault.New(fault.Constraint, "payments.refund_stale", "%s were refunded already, not %s; look again before you refund more",
			money.Money{Minor: gone, Currency: a.Currency}, money.Money{Minor: *r.ExpectedRefunded, Currency: a.Currency})
	case amount < 1 || amount > left:
		return 0, fault.New(fault.Constraint, "payments.refund_too_much", "%s can be refunded at most", money.Money{Minor: left, Currency: a.Currency})
	}
	return amount, nil
}

// driveRefund takes a refund that is leased to us as far as it goes now.
func (s *Service) driveRefund(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, sendBudget)
	defer cancel()
	log := s.c.Log.With("refund_id", id)
	var row refund
	var a attempt
	err := s.db.Get(ctx, &row, selectRefund, id)
	if err == nil {
		err = s.db.Get(ctx, &a, selectAttempt, row.PaymentID)
	}
	if err != nil {
		log.ErrorContext(ctx, "refund stays open", "error", err)
		return
	}
	got := s.advanceRefund(ctx, row, a)
	s.c.Failpoint("refund-reply")
	if err := s.settleRefund(ctx, row, got); err != nil {
		log.ErrorContext(ctx, "refund outcome is not stored yet", "error", err)
		return
	}
	log.InfoContext(ctx, "refund", "payment_id", row.PaymentID, "state", string(got.State), "cause", got.Cause)
}

// advanceRefund sends a refund, or looks what became of it: a lost refund that is sent again under
// another key would be a second one.
func (s *Service) advanceRefund(ctx context.Context, row refund, a attempt) provider.Refund {
	age := time.Duration(row.AgeSeconds * float64(time.Second))
	if row.ProviderID != "" || age >= keyKept {
		return s.findRefund(ctx, row, a, age)
	}
	got := provider.Refund{State: provider.RefundUnknown}
	ambiguous := row.Ambiguous || row.Tries > 1 || row.State != "sent" || age > lease
	for try := range sendTries {
		if _, err := s.db.Exec(ctx, markRefundTry, row.ID, ambiguous); err != nil {
			return got
		}
		got = s.provider.Refund(ctx, row.Key, provider.RefundRequest{
			ChargeID: a.ChargeID, Amount: row.Amount, Reason: row.Reason, RefundID: row.ID,
		}, ambiguous)
		if got.State != provider.RefundUnknown || !pause(ctx, time.Duration(try+1)*500*time.Millisecond) {
			return got
		}
		ambiguous = true
	}
	return s.findRefund(ctx, row, a, age)
}

// findRefund looks the refund up by our id, which its metadata carry.
func (s *Service) findRefund(ctx context.Context, row refund, a attempt, age time.Duration) provider.Refund {
	all, err := s.provider.Refunds(ctx, a.ChargeID)
	i := slices.IndexFunc(all, func(r provider.Refund) bool {
		return r.RefundID == row.ID || row.ProviderID != "" && r.ID == row.ProviderID
	})
	switch {
	case err == nil && i >= 0:
		return all[i]
	case err == nil && age >= keyKept:
		return provider.Refund{State: provider.RefundFailed, Cause: "the provider has no such refund"}
	}
	return provider.Refund{State: provider.RefundUnknown, Cause: "the provider shows no refund yet"}
}

// settleRefund stores a refund's state and brings attempt, order and record in line with it.
func (s *Service) settleRefund(ctx context.Context, row refund, got provider.Refund) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	retry := backoff(row.Tries)
	if got.State == provider.RefundPending {
		retry = time.Minute
	}
	err := s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		var a attempt
		if err := tx.Get(ctx, &a, lockAttempt, row.PaymentID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updateRefund, row.ID, string(got.State), got.ID, got.Cause, retry.Seconds()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, applyRefunds, row.PaymentID)
		return err
	})
	if err == nil && row.State == string(provider.RefundSucceeded) && got.State == provider.RefundFailed {
		s.c.Log.ErrorContext(ctx, "a refund failed afterwards: the money is back with us", "refund_id", row.ID, "payment_id", row.PaymentID)
		s.report(ctx, "refund_failed", row.PaymentID, got.ID, "a refund failed after it had succeeded; give the money back another way")
	}
	return err
}

// syncRefunds brings our refunds of a charge in line with the provider's, also those made elsewhere.
func (s *Service) syncRefunds(ctx context.Context, a attempt) error {
	all, err := s.provider.Refunds(ctx, a.ChargeID)
	if err != nil {
		return err
	}
	var rows []refund
	if err := s.db.Select(ctx, &rows, selectRefunds, a.ID); err != nil {
		return err
	}
	for _, got := range all {
		i := slices.IndexFunc(rows, func(r refund) bool { return r.ProviderID == got.ID || r.ID == got.RefundID })
		switch {
		case i >= 0 && rows[i].State != string(got.State):
			err = s.settleRefund(ctx, rows[i], got)
		case i < 0:
			err = s.adopt(ctx, a, got)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) adopt(ctx context.Context, a attempt, got provider.Refund) error {
	return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, adoptRefund, a.ID, got.Amount, got.ID, string(got.State)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, applyRefunds, a.ID)
		return err
	})
}

// settleDispute stores how a dispute stands.
func (s *Service) settleDispute(ctx context.Context, a attempt, d provider.Dispute) error {
	var due *time.Time
	if !d.DueBy.IsZero() && !d.Closed() {
		due = &d.DueBy
	}
	err := s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, setDispute, a.ID, d.ID, d.Status, due); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, applyRefunds, a.ID)
		return err
	})
	if err == nil && !d.Closed() && a.Dispute != d.Status {
		s.c.Log.ErrorContext(ctx, "a payment is disputed: answer the bank in time", "payment_id", a.ID, "reason", d.Reason, "due", d.DueBy)
	}
	return err
}
