package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"crema/server/app"
	"crema/server/base/fault"
)

type sweepCommand struct {
	Day string `placeholder:"YYYY-MM-DD" help:"The day to compare, in UTC. Default: yesterday."`
}

// Run compares one day and prints every difference that is open.
func (s sweepCommand) Run(env *environment) error {
	day := time.Now().UTC().AddDate(0, 0, -1)
	if s.Day != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, s.Day); err != nil || day.After(time.Now()) {
			return fault.Argument("cli.day", "day", "--day must be a day of the past such as 2026-01-31")
		}
	}
	return env.withPayments(func(ctx context.Context, t app.Tools) error {
		n, err := t.Payments().Sweep(ctx, day)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(env.out, "%s: %d differences\n", day.Format(time.DateOnly), n); err != nil || n == 0 {
			return err
		}
		return env.listBreaks(ctx, t, false)
	})
}

type breaksCommand struct {
	Close int64 `placeholder:"ID" help:"Note that this one has been looked into."`
	JSON  bool  `name:"json" help:"Print JSON."`
}

// Run lists what is open, or closes one.
func (b breaksCommand) Run(env *environment) error {
	return env.withPayments(func(ctx context.Context, t app.Tools) error {
		if b.Close != 0 {
			return t.Payments().CloseBreak(ctx, b.Close, operator())
		}
		return env.listBreaks(ctx, t, b.JSON)
	})
}

func (e *environment) listBreaks(ctx context.Context, t app.Tools, asJSON bool) error {
	all, err := t.Payments().Breaks(ctx)
	switch {
	case err != nil:
		return err
	case asJSON:
		return writeJSON(e.out, all)
	}
	lines := []string{"ID\tOPENED (UTC)\tKIND\tPAYMENT\tAT THE PROVIDER\tWHAT"}
	for _, b := range all {
		lines = append(lines, strings.Join([]string{
			strconv.FormatInt(b.ID, 10), stamp(b.OpenedAt), b.Kind, cmp.Or(b.PaymentID, "-"), cmp.Or(b.ProviderID, "-"), b.Detail,
		}, "\t"))
	}
	return table(e.out, lines)
}

type webhookCommand struct {
	Create createWebhookCommand `cmd:"" help:"Make the endpoint at the provider and print its signing secret once."`
}

type createWebhookCommand struct {
	URL   string `name:"url" placeholder:"https://..." help:"Where notices go. Default: PUBLIC_URL and /stripe/webhook."`
	Again bool   `help:"Make another one although there is one, to roll its secret."`
}

// Run prints the secret to stdout and nowhere else.
func (w createWebhookCommand) Run(env *environment) error {
	return env.with(app.OpenAccount, func(ctx context.Context, t app.Tools) error {
		to := w.URL
		if to == "" {
			if !t.HasPublicURL() {
				return fault.Argument("cli.webhook_url", "url", "say where notices go: set PUBLIC_URL, or give --url https://.../stripe/webhook")
			}
			to = t.ShopURL() + app.WebhookPath
		}
		if u, err := url.Parse(to); err != nil || u.Host == "" || u.Scheme != "https" && !t.InSandbox() || u.Scheme != "https" && u.Scheme != "http" {
			return fault.Argument("cli.webhook_url", "url", "%q is not an address that the provider can call; it must begin with https://", to)
		}
		id, secret, err := t.Payments().CreateWebhook(ctx, to, w.Again)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.out, `Endpoint  %s
URL       %s
Secret    %s

The secret is shown only this once. Set it where the server runs, and start the server again:

  STRIPE_WEBHOOK_SECRET=<the secret>           or its file: STRIPE_WEBHOOK_SECRET_FILE=<path>

While another endpoint is still in use, give both secrets, separated by a comma.
`, id, to, secret)
		return err
	})
}
