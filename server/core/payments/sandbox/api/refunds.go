package api

import (
	"context"
	"slices"

	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// settleAfter is how many seconds the refunds of the two special cards take to change their status.
const settleAfter = 5

// Refund is money that goes back to a card.
type Refund struct {
	ID                        string            `json:"id"`
	Object                    string            `json:"object"`
	Amount                    int64             `json:"amount"`
	BalanceTransaction        *string           `json:"balance_transaction"`
	Charge                    string            `json:"charge"`
	Created                   int64             `json:"created"`
	Currency                  string            `json:"currency"`
	FailureBalanceTransaction *string           `json:"failure_balance_transaction,omitempty"`
	FailureReason             *string           `json:"failure_reason,omitempty"`
	Metadata                  map[string]string `json:"metadata"`
	PaymentIntent             *string           `json:"payment_intent"`
	Reason                    *string           `json:"reason"`
	ReceiptNumber             *string           `json:"receipt_number"`
	SourceTransferReversal    *string           `json:"source_transfer_reversal"`
	Status                    string            `json:"status"`
	TransferReversal          *string           `json:"transfer_reversal"`
}

// refundHidden says what a refund will become, and when.
type refundHidden struct {
	Due  int64  `json:"due,omitempty"` // unix seconds
	Ends string `json:"ends,omitempty"`
}

func createRefund(ctx context.Context, c *Call) (any, error) {
	charge, intent := c.Form.Text("charge"), c.Form.Text("payment_intent")
	if charge == "" && intent == "" {
		c.Form.Refuse(wire.InvalidCode("parameter_missing", "", "One of the following params should be provided for this request: payment_intent or charge."))
	}
	r, _, err := c.refund(ctx, func() (string, error) {
		if charge != "" {
			return charge, nil
		}
		return chargeOf(ctx, c, intent)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// chargeOf finds the charge that paid an intent.
func chargeOf(ctx context.Context, c *Call, intent string) (string, error) {
	p, _, err := find[Intent](ctx, c, kindIntent, intent, "payment_intent")
	if err == nil && (p.Status != "succeeded" || p.LatestCharge == nil) {
		err = wire.Invalid("payment_intent", "This PaymentIntent (%s) does not have a successful charge to refund.", p.ID)
	}
	if err != nil {
		return "", err
	}
	return *p.LatestCharge, nil
}

func createChargeRefund(ctx context.Context, c *Call) (any, error) {
	r, _, err := c.refund(ctx, c.fromPath)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// refundCharge is the oldest form: it answers with the charge.
func refundCharge(ctx context.Context, c *Call) (any, error) {
	_, ch, err := c.refund(ctx, c.fromPath)
	if err != nil {
		return nil, err
	}
	return ch, nil
}

func (c *Call) fromPath() (string, error) { return c.ID, nil }

// refund reads amount, reason and metadata and refunds the charge. which names it, after the parameters
// are known to be good.
func (c *Call) refund(ctx context.Context, which func() (string, error)) (r Refund, ch Charge, err error) {
	amount, given := c.Form.OptionalInt("amount")
	reason, metadata := c.Form.Optional("reason"), c.Form.Texts("metadata")
	checkMetadata(c.Form, metadata)
	if reason != nil && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer"}, *reason) {
		c.Form.Refuse(wire.Invalid("reason", "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer."))
	}
	if err := c.Form.Done(); err != nil {
		return r, ch, err
	}
	charge, err := which()
	if err != nil {
		return r, ch, err
	}
	if err := settleRefunds(ctx, c); err != nil {
		return r, ch, err
	}
	ch, o, err := lock[Charge](ctx, c, kindCharge, charge, "id")
	if err != nil {
		return r, ch, notFound(err)
	}
	var hidden chargeHidden
	if err := unmarshal(o.Hidden, &hidden); err != nil {
		return r, ch, err
	}
	if !given {
		amount = ch.Amount - ch.AmountRefunded
	}
	if err := refundable(ch, hidden, amount); err != nil {
		return r, ch, err
	}
	r = Refund{
		ID: wire.NewID("re_3", 22), Object: kindRefund, Amount: amount, Charge: ch.ID, Created: c.Now.Unix(),
		Currency: ch.Currency, Metadata: merge(c.Form, nil, metadata), Reason: reason, Status: "succeeded",
		PaymentIntent: ch.PaymentIntent,
	}
	return c.giveBack(ctx, r, ch, o, hidden)
}

func refundable(ch Charge, hidden chargeHidden, amount int64) error {
	left := ch.Amount - ch.AmountRefunded
	switch {
	case ch.Status == "failed":
		return wire.InvalidCode("charge_not_refundable", "", "Charge %s failed, so there is nothing to refund.", ch.ID)
	case ch.Refunded || left == 0:
		return wire.InvalidCode("charge_already_refunded", "", "Charge %s has already been refunded.", ch.ID)
	case hidden.Frozen:
		return wire.InvalidCode("charge_disputed", "", "Charge %s has been charged back; it cannot be refunded.", ch.ID)
	case amount < 1:
		return wire.InvalidCode("parameter_invalid_integer", "amount", "This value must be greater than or equal to 1.")
	case amount > ch.Amount:
		return wire.Invalid("amount", "Refund amount (%s) is greater than charge amount (%s)", wire.Money(amount, ch.Currency), wire.Money(ch.Amount, ch.Currency))
	case amount > left:
		return wire.Invalid("amount", "Refund amount (%s) is greater than unrefunded amount on charge (%s)", wire.Money(amount, ch.Currency), wire.Money(left, ch.Currency))
	case !ch.Captured && amount != left:
		return wire.Invalid("amount", "You cannot partially refund an uncaptured charge. Capture it for less instead.")
	}
	return nil
}

// giveBack stores the refund and moves the money. An uncaptured charge is only released: no money moved.
func (c *Call) giveBack(ctx context.Context, r Refund, ch Charge, o ledger.Object, h chargeHidden) (Refund, Charge, error) {
	before := map[string]any{"amount_refunded": ch.AmountRefunded, "refunded": ch.Refunded}
	ch.AmountRefunded += r.Amount
	ch.Refunded = ch.AmountRefunded == ch.Amount
	if h.Refund != "" {
		r.Status = h.Refund
	}
	if ch.Captured {
		id, err := c.balance(ctx, balanceMove{kind: "refund", source: r.ID, amount: -r.Amount, currency: r.Currency})
		if err != nil {
			return r, ch, err
		}
		r.BalanceTransaction = &id
		if err := c.move(ctx, "refund", r.Amount, r.Currency, r.ID, ch.ID); err != nil {
			return r, ch, err
		}
	}
	var hidden refundHidden
	if h.RefundEnds != "" && ch.Captured {
		hidden = refundHidden{c.Now.Unix() + settleAfter, h.RefundEnds}
	}
	if err := c.insert(ctx, kindRefund, r.ID, r, hidden); err != nil {
		return r, ch, err
	}
	if err := c.update(ctx, o, ch, nil); err != nil {
		return r, ch, err
	}
	if err := c.emit(ctx, "charge.refunded", ch, before); err != nil {
		return r, ch, err
	}
	return r, ch, c.emit(ctx, "refund.created", r, nil)
}

func getRefund(ctx context.Context, c *Call) (any, error) {
	if err := settleRefunds(ctx, c); err != nil {
		return nil, err
	}
	return c.get(ctx, kindRefund, "refund")
}

func listRefunds(ctx context.Context, c *Call) (any, error) {
	where := map[string]any{}
	for _, filter := range []string{"charge", "payment_intent"} {
		if v := c.Form.Text(filter); v != "" {
			where[filter] = v
		}
	}
	if err := settleRefunds(ctx, c); err != nil {
		return nil, err
	}
	return c.page(ctx, ledger.Query{Kind: kindRefund, Where: where})
}

func listChargeRefunds(ctx context.Context, c *Call) (any, error) {
	if _, _, err := find[Charge](ctx, c, kindCharge, c.ID, "charge"); err != nil {
		return nil, notFound(err)
	}
	if err := settleRefunds(ctx, c); err != nil {
		return nil, err
	}
	return c.page(ctx, ledger.Query{Kind: kindRefund, Where: map[string]any{"charge": c.ID}})
}

func updateRefund(ctx context.Context, c *Call) (any, error) {
	metadata := c.Form.Texts("metadata")
	checkMetadata(c.Form, metadata)
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	r, o, err := lockPath[Refund](ctx, c, kindRefund, "refund")
	if err != nil {
		return nil, err
	}
	r.Metadata = merge(c.Form, r.Metadata, metadata)
	if err := c.update(ctx, o, r, nil); err != nil {
		return nil, err
	}
	if err := c.emit(ctx, "charge.refund.updated", r, nil); err != nil {
		return nil, err
	}
	return r, c.emit(ctx, "refund.updated", r, nil)
}

// settleRefunds changes the status of refunds whose time has come. The sandbox has no clock of its own
// that ticks, so every look at refunds does it.
func settleRefunds(ctx context.Context, c *Call) error {
	due, err := c.Tx.Due(ctx, kindRefund, c.Now.Unix())
	if err != nil {
		return err
	}
	for _, o := range due {
		if err := c.settle(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (c *Call) settle(ctx context.Context, o ledger.Object) error {
	var r Refund
	var hidden refundHidden
	if err := unmarshal(o.Data, &r); err != nil {
		return err
	}
	if err := unmarshal(o.Hidden, &hidden); err != nil {
		return err
	}
	r.Status = hidden.Ends
	if r.Status == "failed" {
		if err := c.failRefund(ctx, &r); err != nil {
			return err
		}
	}
	if err := c.update(ctx, o, r, refundHidden{}); err != nil {
		return err
	}
	if err := c.emit(ctx, "charge.refund.updated", r, nil); err != nil {
		return err
	}
	return c.emit(ctx, "refund.updated", r, nil)
}

// failRefund takes the money back: the bank did not want it.
func (c *Call) failRefund(ctx context.Context, r *Refund) error {
	ch, o, err := lock[Charge](ctx, c, kindCharge, r.Charge, "charge")
	if err != nil {
		return err
	}
	ch.AmountRefunded -= r.Amount
	ch.Refunded = false
	if err := c.update(ctx, o, ch, nil); err != nil {
		return err
	}
	id, err := c.balance(ctx, balanceMove{kind: "refund_failure", source: r.ID, amount: r.Amount, currency: r.Currency})
	if err != nil {
		return err
	}
	r.FailureBalanceTransaction, r.FailureReason = &id, text("lost_or_stolen_card")
	return c.move(ctx, "refund_failed", r.Amount, r.Currency, r.ID, ch.ID)
}
