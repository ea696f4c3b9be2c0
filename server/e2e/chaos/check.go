package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"crema/server/base/cluster"
)

// checker compares what shoppers heard, what the shop's database says and what the provider did.
type checker struct {
	*books
	byEmail  map[string][]paymentRow
	byID     map[string]paymentRow
	charges  map[string][]move // succeeded, by attempt
	refunded map[string]int64  // given back, by charge
	found    []string
}

// check returns one text per violation, with the history of its order.
func (w *world) check(ctx context.Context, b *books) []string {
	return append(compare(b, w.history.purchases()), w.secrets(ctx)...)
}

// compare checks all but I8.
func compare(b *books, past []*purchase) []string {
	c := &checker{books: b, byEmail: map[string][]paymentRow{}, byID: map[string]paymentRow{}, charges: map[string][]move{}, refunded: map[string]int64{}}
	for _, p := range b.payments {
		c.byEmail[p.Email] = append(c.byEmail[p.Email], p)
		c.byID[p.ID] = p
	}
	known := map[string]bool{}
	for _, p := range past {
		known[p.email] = true
	}
	for _, m := range b.moves {
		switch m.Op {
		case "charge":
			id := b.chargeOf[m.ObjectID]
			c.charges[id] = append(c.charges[id], m)
			if row, ok := c.byID[id]; !ok || !known[row.Email] {
				c.violated("I2", nil, "the provider took %d %s (%s, key %q) that no order explains", m.Amount, m.Currency, m.ObjectID, m.Key)
			}
		case "refund":
			c.refunded[m.ChargeID] += m.Amount
		case "refund_failed":
			c.refunded[m.ChargeID] -= m.Amount
		}
	}
	for _, p := range past {
		c.order(p)
	}
	c.open()
	return c.found
}

func (c *checker) violated(invariant string, p *purchase, format string, args ...any) {
	text := "VIOLATED " + invariant + ": " + fmt.Sprintf(format, args...)
	if p != nil {
		text += "\n" + p.String()
		for _, row := range c.byEmail[p.email] {
			text += fmt.Sprintf("  database: %+v\n  provider: %+v\n", row, c.charges[row.ID])
		}
	}
	c.found = append(c.found, text)
}

// order checks one purchase.
func (c *checker) order(p *purchase) {
	rows := c.byEmail[p.email]
	var charges []move
	for _, row := range rows {
		charges = append(charges, c.charges[row.ID]...)
		c.attempt(p, row)
	}
	if len(charges) > 1 {
		c.violated("I1", p, "%d charges for one purchase", len(charges))
	}
	if p.sure("charge", okay) && !slices.ContainsFunc(rows, func(r paymentRow) bool { return r.State == "succeeded" && len(c.charges[r.ID]) == 1 }) {
		c.violated("I4", p, "the shopper was told that it is paid, and it is not")
	}
	c.refusals(p, rows)
}

// attempt checks one attempt against the journal.
func (c *checker) attempt(p *purchase, row paymentRow) {
	took := c.charges[row.ID]
	if len(took) != 0 != (row.State == "succeeded") {
		c.violated("I2", p, "attempt %s is %s, the provider charged it %d times", row.ID, row.State, len(took))
		return
	}
	if row.State != "succeeded" {
		if row.State == "sent" || row.State == "unknown" || row.State == "pending" || row.State == "requires_action" {
			c.violated("I7", p, "attempt %s is still %s", row.ID, row.State)
		}
		return
	}
	m := took[0]
	status := map[bool]string{true: "paid", false: "partially_refunded"}[row.Refunded == 0]
	if row.Refunded == row.Amount {
		status = "refunded"
	}
	switch {
	case row.OrderStatus != status, row.Records != 1, row.ChargeID != m.ObjectID,
		row.Recorded != m.Amount, row.Amount != m.Amount, row.Currency != m.Currency:
		c.violated("I2", p, "charge %+v, but order %s with %d records of %d, attempt %+v", m, row.OrderStatus, row.Records, row.Recorded, row)
	case m.Amount != row.Catalogue:
		c.violated("I6", p, "charged %d, the catalogue says %d", m.Amount, row.Catalogue)
	case c.refunded[m.ObjectID] > m.Amount:
		c.violated("I5", p, "%d refunded of %d", c.refunded[m.ObjectID], m.Amount)
	case c.refunded[m.ObjectID] != row.Refunded:
		c.violated("I5", p, "the provider refunded %d, we have %d", c.refunded[m.ObjectID], row.Refunded)
	}
}

// beforeAttempt are the codes of calls that were refused before there was an attempt. The same call may be
// made again, and succeed.
var beforeAttempt = []string{"payments_paused", "too_many_attempts", "price_changed", "order_conflict", "product_not_found"}

// refusals checks that nobody was told "not charged" who was, or will be, charged.
func (c *checker) refusals(p *purchase, rows []paymentRow) {
	past := p.events()
	for _, e := range past {
		if e.verdict != failed || e.what != "charge" {
			continue
		}
		token, _, _ := strings.Cut(e.token, " for ")
		hash := hashOf(token)
		for _, row := range rows {
			if row.TokenHash == hash && len(c.charges[row.ID]) > 0 && !explained(e, token, hash, past, rows) {
				c.violated("I3", p, "call %d was told %s, and attempt %s was charged", e.call, e.detail, row.ID)
			}
		}
	}
	if p.calls == 1 && strings.Contains(past[0].token, " for ") && p.sure("charge", okay) {
		c.violated("I6", p, "another price was taken")
	}
}

// hashOf is how the database names a token.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// explained says that the refusal e was about something else than the charge: it came before there was an
// attempt, or about the other tab's card, and another call with the same card came through.
func explained(e event, token, hash string, past []event, rows []paymentRow) bool {
	another := slices.ContainsFunc(past, func(o event) bool {
		sent, _, _ := strings.Cut(o.token, " for ")
		return o.call != e.call && o.what == "charge" && sent == token && (o.verdict == okay || o.verdict == info)
	})
	joined := slices.ContainsFunc(rows, func(r paymentRow) bool {
		return r.TokenHash != hash && (r.State == "failed" || r.State == "voided")
	})
	return another && (joined || slices.Contains(beforeAttempt, e.detail))
}

// open checks that what is still open is explained.
func (c *checker) open() {
	for _, b := range c.breaks {
		row := c.byID[b.PaymentID]
		if b.Kind == "needs_review" && row.State == "needs_review" && row.ErrorStored && len(c.charges[row.ID]) == 0 {
			continue // the provider keeps its own error as the answer: only an operator may decide that
		}
		c.violated("I7", nil, "open break %+v, payment %+v, charges %v", b, row, c.charges[row.ID])
	}
	for _, p := range c.payments {
		if p.State == "needs_review" && !slices.ContainsFunc(c.breaks, func(b breakRow) bool { return b.PaymentID == p.ID }) {
			c.violated("I7", nil, "payment %+v needs an operator and no break says so", p)
		}
	}
}

// forbidden is what may stand in no log, no table and no answer of the shop.
var forbidden = map[string]*regexp.Regexp{
	"a secret key":       regexp.MustCompile(`\b(sk|rk)_(test|live)_\w{8,}|` + masterKey),
	"a webhook secret":   regexp.MustCompile(`\bwhsec_\w{8,}`),
	"a card token":       regexp.MustCompile(`\btok_(1[A-Za-z0-9]{10,}|visa|mastercard|amex|discover|chargeDeclined|sandbox_)`),
	"a card number":      regexp.MustCompile(`\b(4242424242424242|5555555555554444|4000000000003220|4000000000000002)\b`),
	"a client secret":    regexp.MustCompile(`\w_secret_\w{8,}`),
	"an HTTP credential": regexp.MustCompile(`(?i)authorization"?: |stripe-signature"?: `),
}

// patterns remembers what was found where. Answers are looked at as they come, so that none is kept.
type patterns struct {
	mu    sync.Mutex
	found map[string]string
}

func (p *patterns) look(where string, text []byte) {
	for what, form := range forbidden {
		at := form.FindIndex(text)
		if at == nil {
			continue
		}
		p.mu.Lock()
		if p.found == nil {
			p.found = map[string]string{}
		}
		p.found[what+" in "+where] = string(text[max(0, at[0]-80):min(len(text), at[0]+12)])
		p.mu.Unlock()
	}
}

// secrets looks through the logs, a dump of the shop's database and all answers (I8).
func (w *world) secrets(ctx context.Context) []string {
	for _, log := range []string{"server.log", "operator.log"} {
		text, _ := os.ReadFile(filepath.Join(w.dir, log))
		w.replies.look(log, text)
	}
	dump, err := exec.CommandContext(ctx, filepath.Join(filepath.Dir(w.database.Binaries().Path("postgres")), "pg_dump"),
		"--data-only", "--dbname="+w.database.URL(cluster.Database)).Output()
	if err != nil {
		return []string{"I8 cannot be checked: pg_dump: " + err.Error()}
	}
	w.replies.look("the database", dump)
	var all []string
	for where, text := range w.replies.found {
		all = append(all, fmt.Sprintf("VIOLATED I8: %s: ...%s...", where, strings.ReplaceAll(text, "\n", " ")))
	}
	return all
}
