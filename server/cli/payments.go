package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"crema/server/app"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/core/payments"
	"crema/server/core/payments/money"
)

type paymentsCommand struct {
	List    listCommand    `cmd:"" help:"List attempts to pay, newest first."`
	Show    showCommand    `cmd:"" help:"Show everything about one order."`
	Refund  refundCommand  `cmd:"" help:"Give money back."`
	Recheck recheckCommand `cmd:"" help:"Ask the provider about one payment now and settle it."`
	Sweep   sweepCommand   `cmd:"" help:"Compare a day with the provider's books."`
	Breaks  breaksCommand  `cmd:"" help:"List differences that nobody has explained yet, or close one."`
	Webhook webhookCommand `cmd:"" help:"Webhook endpoints at the provider."`
}

// withPayments runs fn with the payments room open, beside a server or without one.
func (e *environment) withPayments(fn func(ctx context.Context, t app.Tools) error) error {
	return e.with(app.Open, fn)
}

func (e *environment) with(open func(context.Context, *config.Config, *slog.Logger) (app.Tools, error), fn func(context.Context, app.Tools) error) error {
	c, err := config.OpenMade(".", os.LookupEnv)
	if err != nil {
		return err
	}
	return e.work(c, open, fn)
}

// work is with for a configuration that may be new.
func (e *environment) work(c *config.Config, open func(context.Context, *config.Config, *slog.Logger) (app.Tools, error), fn func(context.Context, app.Tools) error) error {
	log := telemetry.NewLogger(e.errs, max(c.Log.Level, slog.LevelWarn), c.Log.Format)
	defer telemetry.Flush(log)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	t, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() {
		grace, cancel := context.WithTimeout(context.Background(), app.Grace)
		defer cancel()
		t.Stop(grace)
	}()
	return fn(ctx, t)
}

// operator names who runs the command, for the trail.
func operator() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); err == nil && name == "" {
		name = u.Username
	}
	return "operator:" + name
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes lines whose cells are parted by tabs.
func table(w io.Writer, lines []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		if _, err := fmt.Fprintln(t, l); err != nil {
			return err
		}
	}
	return t.Flush()
}

func amount(minor int64, currency string) string {
	return money.Money{Minor: minor, Currency: strings.TrimSpace(currency)}.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

type listCommand struct {
	State string `placeholder:"STATE" help:"Only these: a state (needs_review, unknown, succeeded, failed, ...) or open, disputed, refunded."`
	Email string `placeholder:"ADDRESS" help:"Only the orders of this e-mail address."`
	Limit int    `default:"50" help:"At most so many."`
	CSV   bool   `name:"csv" xor:"form" help:"Print CSV, amounts in minor units."`
	JSON  bool   `name:"json" xor:"form" help:"Print JSON, amounts in minor units."`
}

// states are what --state takes.
var states = []string{
	"open", "disputed", "refunded", "pending", "sent", "unknown", "requires_action", "succeeded", "failed", "voided", "needs_review",
}

// Run prints one line an attempt.
func (l listCommand) Run(env *environment) error {
	if l.State != "" && !slices.Contains(states, l.State) {
		return fault.Argument("cli.state", "state", "--state must be one of %s", strings.Join(states, ", "))
	}
	if l.Limit < 1 || l.Limit > 100_000 {
		return fault.Argument("cli.limit", "limit", "--limit must be from 1 to 100000")
	}
	return env.withPayments(func(ctx context.Context, t app.Tools) error {
		all, err := t.Payments().List(ctx, payments.Filter{State: l.State, Email: l.Email, Limit: l.Limit})
		switch {
		case err != nil:
			return err
		case l.JSON:
			return writeJSON(env.out, all)
		case l.CSV:
			return listCSV(env.out, all)
		}
		lines := []string{"CREATED (UTC)\tSTATE\tORDER\tAMOUNT\tREFUNDED\tE-MAIL\tPAYMENT\tCHARGE\tWHY"}
		for _, p := range all {
			lines = append(lines, strings.Join([]string{
				stamp(p.CreatedAt), p.State, p.OrderStatus, amount(p.Amount, p.Currency), amount(p.Refunded, p.Currency), p.Email, p.ID, p.ChargeID,
				cmp.Or(p.Dispute, p.FailureCode),
			}, "\t"))
		}
		return table(env.out, lines)
	})
}

func listCSV(w io.Writer, all []payments.Listed) error {
	out := csv.NewWriter(w)
	rows := [][]string{{
		"created_at", "payment_id", "order_id", "mode", "kind", "state", "order_status", "amount_minor", "refunded_minor", "currency",
		"dispute_state", "failure_code", "charge_id", "email",
	}}
	for _, p := range all {
		rows = append(rows, []string{
			p.CreatedAt.UTC().Format(time.RFC3339), p.ID, p.OrderID, p.Mode, p.Kind, p.State, p.OrderStatus, strconv.FormatInt(p.Amount, 10),
			strconv.FormatInt(p.Refunded, 10), p.Currency, p.Dispute, p.FailureCode, p.ChargeID, noFormula(p.Email),
		})
	}
	return out.WriteAll(rows)
}

// noFormula keeps a spreadsheet from running what a shopper has typed.
func noFormula(s string) string {
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

type showCommand struct {
	ID   string `arg:"" help:"Id of an order, a payment, a charge or a checkout session."`
	JSON bool   `name:"json" help:"Print JSON, amounts in minor units."`
}

// Run prints the order with its attempts, refunds and open breaks.
func (s showCommand) Run(env *environment) error {
	return env.withPayments(func(ctx context.Context, t app.Tools) error {
		d, err := t.Payments().Show(ctx, s.ID)
		if err != nil {
			return err
		}
		if s.JSON {
			return writeJSON(env.out, d)
		}
		return table(env.out, describe(d, t.ShopURL()))
	})
}

func describe(d payments.Details, shop string) []string {
	lines := []string{
		"Order\t" + d.ID,
		"Status\t" + d.Status + " (" + d.Mode + ")",
		"Total\t" + amount(d.Total, d.Currency),
		"E-mail\t" + d.Email,
		"Created\t" + stamp(d.CreatedAt) + " UTC",
		"Page\t" + shop + d.Link,
	}
	for _, i := range d.Items {
		lines = append(lines, fmt.Sprintf("Item\t%d x %s, %s each", i.Quantity, i.Name, amount(i.UnitAmount, d.Currency)))
	}
	for _, a := range d.Attempts {
		lines = append(lines, "")
		lines = append(lines, describeAttempt(a, d.Mode)...)
		for _, t := range d.Transitions {
			if t.PaymentID == a.ID {
				lines = append(lines, fmt.Sprintf("  %s\t%s: %s (%s)", stamp(t.At), t.To, t.Cause, t.Actor))
			}
		}
	}
	for _, r := range d.Refunds {
		lines = append(lines, "", "Refund\t"+r.ID, "  State\t"+strings.TrimSpace(r.State+" "+r.Cause), "  Amount\t"+amount(r.Amount, d.Currency),
			"  Why\t"+strings.TrimSuffix(r.Reason+", "+r.Note, ", "), "  Asked by\t"+r.By+" at "+stamp(r.CreatedAt), "  At the provider\t"+r.ProviderID)
	}
	for _, b := range d.Breaks {
		lines = append(lines, "", "Break "+strconv.FormatInt(b.ID, 10)+"\t"+b.Kind+": "+b.Detail)
	}
	return lines
}

func describeAttempt(a payments.AttemptDetails, mode string) []string {
	lines := []string{
		fmt.Sprintf("Payment\t%s (attempt %d, %s)", a.ID, a.Number, a.Kind),
		"  State\t" + strings.TrimSpace(a.State+" "+a.FailureCode+" "+a.DeclineCode),
		"  Charge\t" + a.ChargeID,
		"  At the provider\t" + a.ProviderID,
		"  Last request\t" + a.RequestID,
	}
	if a.Last4 != "" {
		lines = append(lines, "  Card\t"+a.Brand+" "+a.Last4)
	}
	if a.State == "succeeded" {
		lines = append(lines, "  Refunded\t"+amount(a.Refunded, a.Currency)+"; "+amount(a.Amount-a.RefundsSent, a.Currency)+" can be refunded")
	}
	if a.Dispute != "" {
		due := ""
		if a.DisputeDue != nil {
			due = ", answer by " + stamp(*a.DisputeDue) + " UTC"
		}
		lines = append(lines, "  Dispute\t"+a.DisputeID+" "+a.Dispute+due)
	}
	if link := dashboard(a, mode); link != "" {
		lines = append(lines, "  Dashboard\t"+link)
	}
	return lines
}

// dashboard is Stripe's own page about a charge.
func dashboard(a payments.AttemptDetails, mode string) string {
	switch {
	case a.ChargeID == "" || mode == string(payments.Sandbox):
		return ""
	case mode == string(payments.Test):
		return "https://dashboard.stripe.com/test/payments/" + a.ChargeID
	}
	return "https://dashboard.stripe.com/payments/" + a.ChargeID
}
