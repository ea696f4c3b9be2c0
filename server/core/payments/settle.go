package payments

import (
	"context"
	"time"

	"crema/server/base/pg"
)

// settle stores what became known of an attempt: its state, the transition and, for a succeeded
// charge, the paid order and its payment_record, all in one transaction. An attempt that is final
// stays as it is, so settle may run any number of times, from anywhere.
func (s *Service) settle(ctx context.Context, id string, o outcome, retry time.Duration) error {
	return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		var a attempt
		if err := tx.Get(ctx, &a, lockAttempt, id); err != nil {
			return err
		}
		if a.State.final() {
			return nil
		}
		if _, err := tx.Exec(ctx, updateAttempt, id, string(o.state), o.chargeID, o.failureCode, o.declineCode, o.requestID,
			o.brand, o.last4, o.ambiguous, o.storedError, o.state.final(), retry.Seconds()); err != nil {
			return err
		}
		if o.state != a.State {
			if _, err := tx.Exec(ctx, insertTransition, id, string(a.State), string(o.state), o.cause, "server"); err != nil {
				return err
			}
		}
		if o.state != succeeded {
			return nil
		}
		return recordPaid(ctx, tx, a, o)
	})
}

func recordPaid(ctx context.Context, tx *pg.Tx, a attempt, out outcome) error {
	var o order
	if err := tx.Get(ctx, &o, selectOrder, a.OrderID); err != nil {
		return err
	}
	owner := o.UserID
	if owner == "" {
		owner = serviceOwner
	}
	total := Money{o.Total, o.Currency}
	if _, err := tx.Exec(ctx, insertRecord, a.ID, owner, time.Now().UTC(), o.Email, o.Product, total.Major(),
		total.Minor, total.Currency, out.chargeID, o.ID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, markOrderPaid, o.ID)
	return err
}
