package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"strings"

	"crema/server/app"
	"crema/server/base/fault"
	"crema/server/core/payments"
	"crema/server/core/payments/money"
)

type refundCommand struct {
	ID       string `arg:"" help:"Id of the payment, its order or its charge."`
	Amount   string `placeholder:"2.50" help:"How much; without a point it is minor units (250). Default: all that is left."`
	Reason   string `required:"" placeholder:"REASON" help:"duplicate, fraudulent or requested_by_customer."`
	Note     string `help:"For the trail; stays here."`
	Expected string `name:"expected-refunded" placeholder:"0.00" help:"Refuse unless exactly so much was refunded before."`
	Yes      bool   `help:"Do not ask."`
}

// Run asks for the amount to be typed, unless --yes is given, and refunds it.
func (r refundCommand) Run(env *environment) error {
	return env.withPayments(func(ctx context.Context, t app.Tools) error {
		d, err := t.Payments().Show(ctx, r.ID)
		if err != nil {
			return err
		}
		req, err := r.request(d)
		if err != nil {
			return err
		}
		if !r.Yes {
			if err := env.confirm(d, req); err != nil {
				return err
			}
		}
		got, err := t.Payments().Refund(ctx, req)
		if err != nil {
			return err
		}
		return env.refunded(got)
	})
}

// request turns the flags into what the room takes. What a person is shown is what must still be so.
func (r refundCommand) request(d payments.Details) (payments.RefundRequest, error) {
	p := d.Payment()
	req := payments.RefundRequest{PaymentID: p.ID, Amount: p.Amount - p.RefundsSent, Reason: r.Reason, Note: r.Note, By: operator()}
	if !r.Yes {
		req.ExpectedRefunded = &p.RefundsSent
	}
	for _, f := range []struct {
		flag, text string
		set        func(int64)
	}{
		{"--amount", r.Amount, func(n int64) { req.Amount = n }},
		{"--expected-refunded", r.Expected, func(n int64) { req.ExpectedRefunded = &n }},
	} {
		if f.text == "" {
			continue
		}
		m, ok := money.Parse(f.text, strings.TrimSpace(d.Currency))
		if !ok || f.flag == "--amount" && m.Minor < 1 {
			return req, fault.Argument("cli.amount", f.flag, "%s is %q; write an amount in %s such as %s, or minor units", f.flag, f.text,
				strings.ToUpper(d.Currency), plain(d.Total, d.Currency))
		}
		f.set(m.Minor)
	}
	return req, nil
}

// plain is an amount without its currency.
func plain(minor int64, currency string) string {
	text, _, _ := strings.Cut(amount(minor, currency), " ")
	return text
}

func (e *environment) confirm(d payments.Details, r payments.RefundRequest) error {
	if !e.terminal {
		return fault.Argument("cli.not_confirmed", "yes", "nobody can be asked here; add --yes to refund %s", amount(r.Amount, d.Currency))
	}
	p := d.Payment()
	_, _ = fmt.Fprintf(e.out, "Refund %s of %s to %s?\nOrder %s, charge %s. %s were refunded before.\nType %s to do it: ",
		amount(r.Amount, d.Currency), amount(p.Amount, d.Currency), cmp.Or(d.Email, "the shopper"), d.ID, p.ChargeID,
		amount(p.RefundsSent, d.Currency), plain(r.Amount, d.Currency))
	answer, _ := bufio.NewReader(e.in).ReadString('\n')
	if strings.TrimSpace(answer) != plain(r.Amount, d.Currency) {
		return fault.New(fault.Constraint, "cli.not_confirmed", "that is not the amount; nothing was refunded")
	}
	return nil
}

func (e *environment) refunded(r payments.Refunded) error {
	_, err := fmt.Fprintf(e.out, "Refund %s: %s, %s; %s can still be refunded\n", r.ID, r.Amount, r.State, r.Left)
	switch {
	case err != nil:
		return err
	case r.State == "failed":
		return fault.New(fault.Constraint, "cli.refund_failed", "the provider refused the refund; no money moved. `crema payments show` tells why")
	case r.State != "succeeded" && r.State != "pending":
		return fault.New(fault.Unavailable, "cli.refund_unknown",
			"it is not known yet whether the money has left. Do not refund again: the server finds it out, `crema payments show` tells")
	}
	return nil
}

type recheckCommand struct {
	ID string `arg:"" help:"Id of the payment, its order or its charge."`
}

// Run settles what can be settled now.
func (r recheckCommand) Run(env *environment) error {
	return env.withPayments(func(ctx context.Context, t app.Tools) error {
		d, err := t.Payments().Show(ctx, r.ID)
		if err != nil {
			return err
		}
		before := d.Payment()
		if err := t.Payments().Recheck(ctx, before.ID, operator()); err != nil {
			return err
		}
		if d, err = t.Payments().Show(ctx, d.ID); err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.out, "Payment %s was %s and is %s; order %s is %s\n", before.ID, before.State, d.Payment().State, d.ID, d.Status)
		return err
	})
}
