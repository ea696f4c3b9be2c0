package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"crema/server/app"
	"crema/server/base/config"
	"crema/server/base/telemetry"
)

type devCommand struct{}

// Run is serve for those who write the app: with a welcome, and what they save is live at once.
func (devCommand) Run(env *environment) error {
	c, err := env.config()
	if err != nil {
		return err
	}
	level := max(c.Log.Level, slog.LevelInfo)
	log := telemetry.NewLogger(env.errs, level, c.Log.Format)
	start := func(ctx context.Context) (*app.App, error) { return app.Develop(ctx, c, log, env.fns, nil) }
	return env.serve(log, start, func(a *app.App, ready string) {
		log.Info("ready", "url", a.URL(), "after", ready)
		telemetry.Flush(log)
		env.welcome(c, a.URL(), ready)
	})
}

func (e *environment) welcome(c *config.Config, url, ready string) {
	card := app.SandboxTestCard + ", any future date, any CVC (test keys: no money moves)"
	switch {
	case c.Stripe.Live():
		card = "a real card: the keys are live, money moves"
	case c.Stripe.Sandbox():
		card = app.SandboxTestCard + ", any future date, any CVC (sandbox: no money moves)"
	}
	_, _ = fmt.Fprintf(e.out, `
  %s is ready after %s (first page served)

  Shop      %s
  API key   %s
  Data      %s -c 'select * from payment_record'
  Pay with  %s

  Stop with Ctrl-C.

`, c.Shop.Name, ready, url, c.APIKey.Reveal(), psqlHint(), card)
}

// psqlHint is the command as it works from where the user stands.
func psqlHint() string {
	exe := os.Args[0]
	if exe == "" {
		exe = "crema"
	}
	return exe + " psql"
}
