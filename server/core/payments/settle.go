package payments

import (
	"context"
	"math"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/money"
	"crema/server/core/payments/provider"
	"crema/server/core/payments/words"
	"crema/server/lambda"
)

// settle stores what became known of an attempt: its state, the transition and, for a succeeded one, the
// paid order and its payment_record, all in one commit. An attempt that is final stays as it is, so
// settle may run any number of times, from anywhere. It returns the record it made, if it made one.
func (s *Service) settle(ctx context.Context, a attempt, o provider.Outcome, retry time.Duration) (*record, error) {
	// The time of a request is for calls; storing what they told must not fail for lack of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	s.c.Failpoint("before-settle")
	var r record
	err := s.db.Get(ctx, &r, settleAttempt, a.ID, string(o.State), o.ChargeID, o.ProviderID, o.FailureCode, o.DeclineCode,
		o.RequestID, o.Brand, o.Last4, o.Ambiguous, o.Stored, o.URL, o.State.Final(), retry.Seconds(), o.Cause, "server",
		o.Email, math.Pow10(money.Exponent(a.Currency)))
	s.c.Failpoint("after-settle")
	log := s.c.Log.With("payment_id", a.ID, "state", string(o.State), "cause", o.Cause)
	switch {
	case fault.Is(err, "pg.no_rows"): // it was final already
		return nil, nil
	case err != nil:
		log.ErrorContext(ctx, "payment outcome is not stored yet", "error", err)
		return nil, err
	case o.State == provider.NeedsReview:
		log.ErrorContext(ctx, "payment needs an operator")
		s.report(ctx, "needs_review", a.ID, o.ProviderID, o.Cause)
	default:
		log.InfoContext(ctx, "payment")
	}
	return r.orNil(), nil
}

func (r record) orNil() *record {
	if r.ID == nil {
		return nil
	}
	return &r
}

// result tells how an attempt stands now.
func (s *Service) result(ctx context.Context, id string) (lambda.Payment, error) {
	var a attempt
	if err := s.db.Get(ctx, &a, selectAttempt, id); err != nil {
		return lambda.Payment{}, err
	}
	var r record
	if a.State == provider.Succeeded {
		if err := s.db.Get(ctx, &r, selectRecord, id); err != nil {
			return lambda.Payment{}, err
		}
	}
	return s.told(a, &r), nil
}

// told is what a caller hears of an attempt.
func (s *Service) told(a attempt, r *record) lambda.Payment {
	p := lambda.Payment{Status: lambda.Processing, Code: "processing", Message: words.Of("processing").Message}
	switch a.State {
	case provider.Succeeded:
		p = lambda.Payment{Status: lambda.Paid, Record: r.forFunctions()}
	case provider.Failed, provider.Voided:
		p = refusal(a.refusalCode())
	}
	p.OrderID, p.StatusURL = a.OrderID, s.link(a.OrderID)
	return p
}

// refusalCode says why an attempt ended without money.
func (a attempt) refusalCode() string {
	switch {
	case a.FailureCode != "":
		return a.FailureCode
	case a.Kind == kindSession:
		return "checkout_expired"
	}
	return "voided"
}

func (r *record) forFunctions() *lambda.Record {
	if r == nil || r.ID == nil {
		return nil
	}
	fields := map[string]any{}
	for name, v := range map[string]*string{
		"receipt_email": r.Email, "product": r.Product, "currency": r.Currency, "charge_id": r.ChargeID,
		"order_id": r.OrderID, "status": r.Status,
	} {
		if v != nil {
			fields[name] = *v
		}
	}
	fields["amount"], fields["amount_minor"] = *r.Amount, *r.AmountMinor
	return &lambda.Record{
		ID: "payment_record/" + *r.ID, Owner: *r.Owner, CreatedAt: *r.CreatedAt, UpdatedAt: *r.CreatedAt,
		Access: []lambda.AccessEntry{}, Fields: fields,
	}
}
