package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"

	"crema/server/app"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/cli/rebuild"
)

type devCommand struct{}

// Run is serve for those who write the app: with a welcome, and what they save is live at once.
func (devCommand) Run(env *environment) error {
	c, err := env.config()
	if err != nil {
		return err
	}
	level := max(c.Log.Level, slog.LevelInfo)
	format := c.Log.Format
	if f, ok := env.errs.(*os.File); ok && format == "text" && isTerminal(f) {
		format = "terminal"
	}
	log := telemetry.NewLogger(env.errs, level, format)
	parent, err := rebuild.Inherited()
	if err != nil {
		return err
	}
	if program := rebuild.Program(); parent == nil && program != "" {
		return env.supervise(c, log, program)
	}
	s := served{ready: func(a *app.App, after string) {
		if parent != nil {
			parent.Ready()
		}
		if parent == nil || parent.First {
			log.Info("ready", "url", a.URL(), "after", after)
			telemetry.Flush(log)
			env.welcome(c, a.URL(), after)
		}
	}}
	var l net.Listener
	if parent != nil {
		env.started = parent.Since
		l, s.over, s.orphaned = parent.Listener, parent.Over(), parent.Orphaned
	}
	s.start = func(ctx context.Context) (*app.App, error) { return app.Develop(ctx, c, log, env.fns, l) }
	return env.serve(log, s)
}

// supervise runs the server as a child, so that another one can take over when functions in Go have changed. What outlives
// them is this process's: the address and the private PostgreSQL.
func (e *environment) supervise(c *config.Config, log *slog.Logger, program string) error {
	forgetLibpq()
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	l, err := app.Listen(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // nothing was accepted here
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return fault.New(fault.Internal, "cli.no_socket", "HOST is not an address of TCP")
	}
	r := rebuild.Config{
		Since: e.started, Program: program, Places: append(app.SettingsFiles(), c.FunctionsDir, "migrations"), Args: os.Args[1:], Listener: tcp, Log: log,
	}
	if c.DatabaseURL == "" {
		db, err := app.StartCluster(ctx, c, log)
		if err != nil {
			if ctx.Err() != nil { // asked to stop before it was ready
				return nil
			}
			return err
		}
		defer db.Stop()
		r.Env, r.Broken = []string{"DATABASE_URL=" + db.URL()}, db.Failed()
	}
	code, err := rebuild.Run(ctx, r)
	telemetry.Flush(log)
	if err == nil && code != exitOK {
		err = exitStatus(code)
	}
	return err
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

type keysCommand struct{}

// Run prints what pages and functions are given in the place of placeholders. Of the secrets it shows the one of our
// own sandbox only, which opens nothing else.
func (keysCommand) Run(env *environment) error {
	c, err := config.OpenMade(".", os.LookupEnv)
	if err != nil {
		return err
	}
	secret, publishable := app.StripeKeys(c)
	if c.Stripe.SecretKey != "" {
		secret = "what STRIPE_SECRET_KEY says"
	}
	return env.table(func(w io.Writer) {
		for _, line := range [][2]string{
			{"endpoint", serverURL(c) + "/"},
			{"API key", c.APIKey.Reveal()},
			{"Stripe's publishable key, for pages", publishable},
			{"Stripe's secret key, for functions", secret},
		} {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
	})
}
