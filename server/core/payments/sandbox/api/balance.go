package api

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"

	"crema/server/core/payments/sandbox/cards"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// accountID is the one account of a sandbox.
const accountID = "acct_1SandboxOffline"

// BalanceTransaction is one line of the account's statement. Fees are there for realism only.
type BalanceTransaction struct {
	ID                string   `json:"id"`
	Object            string   `json:"object"`
	Amount            int64    `json:"amount"`
	AvailableOn       int64    `json:"available_on"`
	Created           int64    `json:"created"`
	Currency          string   `json:"currency"`
	Description       *string  `json:"description"`
	ExchangeRate      *float64 `json:"exchange_rate"`
	Fee               int64    `json:"fee"`
	FeeDetails        []Fee    `json:"fee_details"`
	Net               int64    `json:"net"`
	ReportingCategory string   `json:"reporting_category"`
	Source            string   `json:"source"`
	Status            string   `json:"status"`
	Type              string   `json:"type"`
}

// Fee is one part of a fee.
type Fee struct {
	Amount      int64   `json:"amount"`
	Application *string `json:"application"`
	Currency    string  `json:"currency"`
	Description string  `json:"description"`
	Type        string  `json:"type"`
}

// fee is 2.9 % and 30 minor units, rounded to the nearest.
func fee(amount int64) int64 { return (amount*29+500)/1000 + 30 }

// balanceMove is what a balance transaction says.
type balanceMove struct {
	kind, source string
	amount       int64 // negative when it leaves the balance
	currency     string
	fee          int64
	instant      bool
}

// balance stores a balance transaction and returns its id.
func (c *Call) balance(ctx context.Context, m balanceMove) (string, error) {
	b := BalanceTransaction{
		ID: wire.NewID("txn_3", 22), Object: kindBalance, Amount: m.amount, AvailableOn: c.Now.Unix(),
		Created: c.Now.Unix(), Currency: m.currency, Fee: m.fee, FeeDetails: []Fee{}, Net: m.amount - m.fee,
		ReportingCategory: m.kind, Source: m.source, Status: "available", Type: m.kind,
	}
	if m.kind == "charge" && !m.instant {
		b.AvailableOn, b.Status = b.Created+2*24*60*60, "pending"
	}
	if m.kind == "adjustment" {
		b.ReportingCategory = kindDispute
	}
	if m.fee > 0 {
		b.FeeDetails = []Fee{{Amount: m.fee, Currency: m.currency, Description: "Processing fees", Type: "stripe_fee"}}
	}
	return b.ID, c.insert(ctx, kindBalance, b.ID, b, nil)
}

func getBalanceTransaction(ctx context.Context, c *Call) (any, error) {
	return c.get(ctx, kindBalance, "id")
}

func listBalanceTransactions(ctx context.Context, c *Call) (any, error) {
	where := map[string]any{}
	for _, filter := range []string{"type", "source", "currency"} {
		if v := c.Form.Text(filter); v != "" {
			where[filter] = v
		}
	}
	return c.page(ctx, ledger.Query{Kind: kindBalance, Where: where})
}

// getBalance shows what the journal sums up to, as if everything were available and free of fees.
func getBalance(ctx context.Context, c *Call) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	sums, err := c.Tx.Balance(ctx)
	if err != nil {
		return nil, err
	}
	if len(sums) == 0 {
		sums["usd"] = 0
	}
	available, pending := []any{}, []any{}
	for _, currency := range slices.Sorted(maps.Keys(sums)) {
		available = append(available, amountOf(sums[currency], currency))
		pending = append(pending, amountOf(0, currency))
	}
	return map[string]any{"object": "balance", "available": available, "pending": pending, "livemode": false}, nil
}

func amountOf(amount int64, currency string) map[string]any {
	return map[string]any{"amount": amount, "currency": currency, "source_types": map[string]any{"card": amount}}
}

func getAccount(_ context.Context, c *Call) (any, error) {
	return map[string]any{
		"id": accountID, "object": "account", "business_type": nil, "charges_enabled": true, "country": "US",
		"default_currency": "usd", "details_submitted": true, "email": "sandbox@example.com",
		"metadata": map[string]any{}, "payouts_enabled": false, "type": "standard",
	}, c.Form.Done()
}

// Dispute is a customer who asks the bank for the money back.
type Dispute struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Amount              int64             `json:"amount"`
	BalanceTransactions []any             `json:"balance_transactions"`
	Charge              string            `json:"charge"`
	Created             int64             `json:"created"`
	Currency            string            `json:"currency"`
	Evidence            map[string]any    `json:"evidence"`
	EvidenceDetails     EvidenceDetails   `json:"evidence_details"`
	IsChargeRefundable  bool              `json:"is_charge_refundable"`
	Livemode            bool              `json:"livemode"`
	Metadata            map[string]string `json:"metadata"`
	PaymentIntent       *string           `json:"payment_intent"`
	Reason              string            `json:"reason"`
	Status              string            `json:"status"`
}

// EvidenceDetails says until when the shop may answer.
type EvidenceDetails struct {
	DueBy           int64 `json:"due_by"`
	HasEvidence     bool  `json:"has_evidence"`
	PastDue         bool  `json:"past_due"`
	SubmissionCount int64 `json:"submission_count"`
}

// dispute opens the dispute that the card's outcome promises. Only an inquiry leaves the money.
func (c *Call) dispute(ctx context.Context, ch Charge, o cards.Outcome) error {
	d := Dispute{
		ID: wire.NewID("dp_1", 23), Object: kindDispute, Amount: ch.Amount, BalanceTransactions: []any{}, Charge: ch.ID,
		Created: c.Now.Unix(), Currency: ch.Currency, Evidence: map[string]any{},
		EvidenceDetails:    EvidenceDetails{DueBy: c.Now.Unix() + 7*24*60*60},
		IsChargeRefundable: o.Inquiry, Metadata: map[string]string{}, PaymentIntent: ch.PaymentIntent, Reason: o.Dispute, Status: "needs_response",
	}
	if o.Inquiry {
		d.Status = "warning_needs_response"
	} else if ch.Captured {
		if err := c.withdraw(ctx, &d); err != nil {
			return err
		}
	}
	if err := c.insert(ctx, kindDispute, d.ID, d, nil); err != nil {
		return err
	}
	if err := c.emit(ctx, "charge.dispute.created", d, nil); err != nil || len(d.BalanceTransactions) == 0 {
		return err
	}
	return c.emit(ctx, "charge.dispute.funds_withdrawn", d, nil)
}

func (c *Call) withdraw(ctx context.Context, d *Dispute) error {
	id, err := c.balance(ctx, balanceMove{kind: "adjustment", source: d.ID, amount: -d.Amount, currency: d.Currency, fee: 1500})
	if err != nil {
		return err
	}
	o, err := c.Tx.Find(ctx, kindBalance, id)
	if err != nil {
		return err
	}
	d.BalanceTransactions = []any{o.Data}
	return c.move(ctx, "dispute", d.Amount, d.Currency, d.ID, d.Charge)
}

// Dispute lets the charge of the path be disputed, for tests. reason and inquiry are those of the test
// cards; a charge that did not succeed is a 400.
func (c *Call) Dispute(ctx context.Context, reason string, inquiry bool) (any, error) {
	ch, o, err := lockPath[Charge](ctx, c, kindCharge, "charge")
	if err != nil {
		return nil, err
	}
	if !ch.Paid || ch.Disputed || ch.Refunded {
		return nil, wire.Invalid("charge", "Only a charge that succeeded and is neither refunded nor disputed yet can be disputed.")
	}
	var hidden chargeHidden
	if err := unmarshal(o.Hidden, &hidden); err != nil {
		return nil, err
	}
	ch.Disputed, hidden.Frozen = true, !inquiry
	if err := c.update(ctx, o, ch, hidden); err != nil {
		return nil, err
	}
	if reason == "" {
		reason = "fraudulent"
	}
	if err := c.dispute(ctx, ch, cards.Outcome{Dispute: reason, Inquiry: inquiry}); err != nil {
		return nil, err
	}
	return c.disputeOf(ctx, ch.ID)
}

func (c *Call) disputeOf(ctx context.Context, charge string) (Dispute, error) {
	found, _, err := c.Tx.List(ctx, ledger.Query{Kind: kindDispute, Where: map[string]any{"charge": charge}, Until: math.MaxInt64, Limit: 1})
	if err != nil || len(found) == 0 {
		return Dispute{}, err
	}
	d, _, err := decode[Dispute](found[0], nil, kindDispute, found[0].ID, "dispute")
	return d, err
}

// CloseDispute ends the dispute about the charge of the path, for tests.
func (c *Call) CloseDispute(ctx context.Context, won bool) (any, error) {
	d, err := c.disputeOf(ctx, c.ID)
	if err != nil || d.ID == "" {
		return nil, cmp.Or(err, error(wire.NoSuch(kindDispute, c.ID, "charge").Path()))
	}
	c.ID = d.ID
	return c.endDispute(ctx, won)
}

// closeDispute gives up: the customer keeps the money.
func closeDispute(ctx context.Context, c *Call) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	return c.endDispute(ctx, false)
}

func (c *Call) endDispute(ctx context.Context, won bool) (any, error) {
	d, o, err := lockPath[Dispute](ctx, c, kindDispute, "dispute")
	if err != nil {
		return nil, err
	}
	if d.Status == "won" || d.Status == "lost" || d.Status == "warning_closed" {
		return nil, wire.Invalid("", "This dispute is already closed.")
	}
	inquiry := strings.HasPrefix(d.Status, "warning")
	d.Status = map[bool]string{true: "won", false: "lost"}[won]
	if inquiry {
		d.Status = "warning_closed"
	}
	if won && !inquiry && len(d.BalanceTransactions) > 0 {
		if err := c.reinstate(ctx, &d); err != nil {
			return nil, err
		}
	}
	if err := c.update(ctx, o, d, nil); err != nil {
		return nil, err
	}
	return d, c.emit(ctx, "charge.dispute.closed", d, nil)
}

// reinstate brings back the money of a dispute that was won.
func (c *Call) reinstate(ctx context.Context, d *Dispute) error {
	id, err := c.balance(ctx, balanceMove{kind: "adjustment", source: d.ID, amount: d.Amount, currency: d.Currency})
	if err != nil {
		return err
	}
	o, err := c.Tx.Find(ctx, kindBalance, id)
	if err != nil {
		return err
	}
	d.BalanceTransactions = append(d.BalanceTransactions, o.Data)
	if err := c.move(ctx, "dispute_won", d.Amount, d.Currency, d.ID, d.Charge); err != nil {
		return err
	}
	return c.emit(ctx, "charge.dispute.funds_reinstated", *d, nil)
}

func getDispute(ctx context.Context, c *Call) (any, error) { return c.get(ctx, kindDispute, "id") }

func listDisputes(ctx context.Context, c *Call) (any, error) {
	where := map[string]any{}
	for _, filter := range []string{"charge", "payment_intent"} {
		if v := c.Form.Text(filter); v != "" {
			where[filter] = v
		}
	}
	return c.page(ctx, ledger.Query{Kind: kindDispute, Where: where})
}
