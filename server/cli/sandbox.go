package cli

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"crema/server/app"
	"crema/server/base/fault"
	"crema/server/base/telemetry"
)

type sandboxCommand struct {
	Listen string `default:"127.0.0.1:12111" placeholder:"HOST:PORT" help:"Address on this machine; port 0 takes a free one."`
}

// Run serves the offline Stripe until SIGINT or SIGTERM. Its URL is the only line on stdout.
func (s sandboxCommand) Run(env *environment) error {
	if !app.Loopback(s.Listen) {
		return fault.Argument("cli.listen", "listen", "--listen must be an address of this machine such as 127.0.0.1:12111: whoever reaches a sandbox with its key may do everything")
	}
	c, err := env.config()
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(env.errs, c.Log.Level, c.Log.Format)
	defer telemetry.Flush(log)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	box, err := app.StartSandbox(ctx, c, log, s.Listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(env.out, box.URL); err != nil {
		return err
	}
	log.Info("the sandbox listens; give servers STRIPE_SANDBOX_URL", "url", box.URL)
	select {
	case <-ctx.Done():
	case err = <-box.Failed():
	}
	stop()
	grace, cancel := context.WithTimeout(context.Background(), app.Grace)
	defer cancel()
	box.Stop(grace)
	return err
}
