package payments

import (
	"context"
	"errors"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/money"
	"crema/server/core/payments/provider"
)

const (
	sweepEvery = time.Hour // how often a server looks whether there is a day to compare
	sweepBack  = 30        // days that are made up for; older ones are an operator's, with `crema payments sweep`
)

// Break is a difference between the provider's books and ours, or something else that an operator must
// look at.
type Break struct {
	ID         int64     `db:"id" json:"id"`
	Kind       string    `db:"kind" json:"kind"` // orphan_charge, missing_charge, amount_differs, refund_differs, needs_review, ...
	PaymentID  string    `db:"payment_id" json:"payment_id,omitempty"`
	ProviderID string    `db:"provider_id" json:"provider_id,omitempty"`
	Detail     string    `db:"detail" json:"detail"`
	OpenedAt   time.Time `db:"opened_at" json:"opened_at"`
}

// Breaks returns what is open.
func (s *Service) Breaks(ctx context.Context) ([]Break, error) {
	breaks := []Break{}
	return breaks, s.db.Select(ctx, &breaks, selectBreaks)
}

// CloseBreak notes that somebody has looked into a break. Reason: payments.no_break.
func (s *Service) CloseBreak(ctx context.Context, id int64, by string) error {
	n, err := s.db.Exec(ctx, closeBreakByID, id, by)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "payments.no_break", "there is no open break %d", id)
	}
	return err
}

// sweepDue compares every day that is over and was not compared yet, each on one server, once: after a pause of the
// server these are several.
func (s *Service) sweepDue(ctx context.Context) {
	yesterday := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	var days []time.Time
	if err := s.db.Select(ctx, &days, selectUnswept, yesterday, sweepBack); err != nil {
		if ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "the sweep cannot begin", "error", err)
		}
		return
	}
	for _, day := range days {
		s.sweepOnce(ctx, day)
	}
}

func (s *Service) sweepOnce(ctx context.Context, day time.Time) {
	var mine int
	err := s.db.Get(ctx, &mine, beginSweep, day)
	if fault.Is(err, "pg.no_rows") { // another server has it
		return
	}
	if err == nil {
		_, err = s.Sweep(ctx, day)
	}
	if err != nil && ctx.Err() == nil {
		s.c.Log.WarnContext(ctx, "the sweep is tried again later", "day", day.Format(time.DateOnly), "error", err)
	}
}

// Sweep compares the charges and refunds of a day (UTC) with the provider's and notes every difference
// as a Break. It returns how many it met, known ones included.
func (s *Service) Sweep(ctx context.Context, day time.Time) (found int, err error) {
	from := day.UTC().Truncate(24 * time.Hour)
	to := from.AddDate(0, 0, 1)
	var ours []attempt
	if err := s.db.Select(ctx, &ours, selectDaysPaid, from.Add(-time.Hour), to.Add(time.Hour), string(s.c.Mode)); err != nil {
		return 0, err
	}
	byCharge := make(map[string]attempt, len(ours))
	for _, a := range ours {
		byCharge[a.ChargeID] = a
	}
	seen := map[string]bool{}
	err = s.provider.Charges(ctx, from, to, func(f provider.ChargeFacts) error {
		seen[f.ID] = true
		if !f.Succeeded || f.Install != s.c.Install {
			return nil
		}
		bad, err := s.compare(ctx, f, byCharge)
		found += bad
		return err
	})
	if err != nil {
		return found, fault.Wrap(err, fault.Unavailable, "payments.unreachable", "the provider does not answer")
	}
	for _, a := range ours {
		if !seen[a.ChargeID] {
			found += s.missing(ctx, a)
		}
	}
	if err := s.sweepRefunds(ctx, from, to); err != nil {
		return found, err
	}
	_, err = s.db.Exec(ctx, finishSweep, from)
	return found, err
}

// sweepRefunds takes over what was given back that day for charges of any age.
func (s *Service) sweepRefunds(ctx context.Context, from, to time.Time) error {
	charges, err := s.provider.RefundedCharges(ctx, from, to)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "payments.unreachable", "the provider does not answer")
	}
	for _, id := range charges {
		if err := s.followCharge(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// compare holds one charge against the ledger.
func (s *Service) compare(ctx context.Context, f provider.ChargeFacts, ours map[string]attempt) (int, error) {
	a, ok := ours[f.ID]
	if !ok {
		err := s.db.Get(ctx, &a, selectByChargeID, f.ID)
		if fault.Is(err, "pg.no_rows") {
			// It may just be news: the notice was lost, the shopper did not come back.
			if err = s.followCharge(ctx, f.ID); err == nil {
				err = s.db.Get(ctx, &a, selectByChargeID, f.ID)
			}
		}
		if fault.Is(err, "pg.no_rows") {
			s.report(ctx, "orphan_charge", "", f.ID, "the provider has a charge that no attempt of ours explains")
			return 1, nil
		}
		if err != nil {
			return 0, err
		}
	}
	if a.Amount != f.Amount || a.Currency != f.Currency {
		s.report(ctx, "amount_differs", a.ID, f.ID, "the provider took "+money.Money{Minor: f.Amount, Currency: f.Currency}.String()+
			", we have "+money.Money{Minor: a.Amount, Currency: a.Currency}.String())
		return 1, nil
	}
	if a.Refunded == f.Refunded {
		return 0, nil
	}
	if err := s.syncRefunds(ctx, a); err != nil {
		return 0, err
	}
	if err := s.db.Get(ctx, &a, selectAttempt, a.ID); err != nil || a.Refunded == f.Refunded {
		return 0, err
	}
	s.report(ctx, "refund_differs", a.ID, f.ID, "the provider refunded "+money.Money{Minor: f.Refunded, Currency: f.Currency}.String()+
		", we have "+money.Money{Minor: a.Refunded, Currency: a.Currency}.String())
	return 1, nil
}

// missing notes a payment of ours that the provider's list of the day lacks. Near midnight the two clocks
// may disagree about the day, so the charge itself is asked for.
func (s *Service) missing(ctx context.Context, a attempt) int {
	f, err := s.provider.ChargeByID(ctx, a.ChargeID)
	if err == nil && f.Succeeded || err != nil && !errors.Is(err, provider.ErrNoSuch) {
		return 0
	}
	s.report(ctx, "missing_charge", a.ID, a.ChargeID, "we have a payment that the provider's list lacks")
	return 1
}
