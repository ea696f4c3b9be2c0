package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"time"

	"crema/server/base/config"
	"crema/server/core/payments"
	"crema/server/core/payments/sandbox"
)

// providerKeys are the keys that the payments room uses: the configured ones, or the sandbox's.
type providerKeys struct {
	secret, publishable string
}

// SandboxTestCard is the card that pays in the sandbox.
const SandboxTestCard = "4242 4242 4242 4242"

func (a *App) openPayments(ctx context.Context) (err error) {
	a.rooms.keys = a.providerKeys()
	c := payments.Config{
		DB: a.db, Log: a.log, Install: a.c.Name, Mode: payments.Test, SecretKey: a.rooms.keys.secret,
		PublicURL: a.publicURL(), LinkKey: a.derive("order links"), WebhookSecrets: revealed(a.c.Stripe.WebhookSecrets),
		TokenPath: a.c.Payments.TokenPath || a.c.Stripe.Sandbox(), Limits: limits(a.c.Payments.Limits),
		Alone: a.cluster != nil, // its data folder is locked
	}
	switch {
	case a.c.Stripe.Live():
		c.Mode = payments.Live
	case a.c.Stripe.SandboxURL != "":
		c.Mode, c.URL = payments.Sandbox, a.c.Stripe.SandboxURL
	case a.c.Stripe.Sandbox():
		c.Mode = payments.Sandbox
		if c.URL, err = a.openSandbox(ctx); err != nil {
			return err
		}
	}
	if a.c.Stripe.Sandbox() {
		a.rooms.sandboxURL = c.URL
	}
	if a.c.Stripe.Sandbox() && len(c.WebhookSecrets) == 0 {
		c.WebhookSecrets = []string{a.sandboxWebhookSecret()}
	}
	if c.Failpoint, err = failpoint(os.Getenv(failpointVariable), c.Mode); err != nil {
		return err
	}
	a.rooms.payments, err = payments.New(c)
	if err != nil {
		return err
	}
	a.onStop(a.rooms.payments.Stop)
	return nil
}

// startPayments begins the work in the background. In the built-in sandbox, notices come to this server
// from then on.
func (a *App) startPayments(ctx context.Context) error {
	a.rooms.payments.Start(ctx)
	mode := a.rooms.payments.Mode()
	a.log.InfoContext(ctx, "payments are open", "mode", string(mode), "key_kind", a.c.Stripe.Kind(), "tokens", a.rooms.payments.TokenPath())
	if mode != payments.Sandbox && len(a.c.Stripe.WebhookSecrets) == 0 {
		a.log.WarnContext(ctx, "STRIPE_WEBHOOK_SECRET is missing: refunds, disputes and late payments are noticed late; run crema payments webhook create")
	}
	if a.rooms.sandbox == nil {
		return nil
	}
	a.rooms.sandbox.Start(ctx)
	_, err := a.rooms.sandbox.Endpoint(ctx, a.URL()+WebhookPath)
	return err
}

// WebhookPath is where the provider sends its notices.
const WebhookPath = "/stripe/webhook"

// limits are the defaults with what app.json says.
func limits(c config.PaymentLimits) payments.Limits {
	l := payments.DefaultLimits()
	for to, n := range map[*int]int64{
		&l.DeclinesPerAddress: c.DeclinesPerAddress, &l.DeclinesPerEmail: c.DeclinesPerEmail, &l.AttemptsPerOrder: c.AttemptsPerOrder,
		&l.RateAtLeast: c.RateAtLeast, &l.RatePercent: c.RatePercent,
	} {
		if n > 0 {
			*to = int(n)
		}
	}
	if c.RateWindowSeconds > 0 {
		l.RateWindow = time.Duration(c.RateWindowSeconds) * time.Second
	}
	return l
}

func revealed(secrets []config.Secret) []string {
	var out []string
	for _, s := range secrets {
		out = append(out, s.Reveal())
	}
	return out
}

// providerKeys are the configured keys, else the sandbox's. These derive from the master key, so that
// they stay the same over restarts and for every server of the app.
func (a *App) providerKeys() providerKeys {
	if a.c.Stripe.SecretKey != "" {
		return providerKeys{a.c.Stripe.SecretKey.Reveal(), a.c.Stripe.PublishableKey}
	}
	return providerKeys{"sk_test_" + a.derive("sandbox secret"), "pk_test_" + a.derive("sandbox publishable")}
}

// StripeKeys are the keys of the provider with which c is served.
func StripeKeys(c *config.Config) (secret, publishable string) {
	k := (&App{c: c}).providerKeys()
	return k.secret, k.publishable
}

// openSandbox starts the built-in Stripe on a free port. For a command nothing is delivered: the
// server's own sandbox does that.
func (a *App) openSandbox(ctx context.Context) (url string, err error) {
	return a.runSandbox(ctx, "127.0.0.1:0", a.publicURL)
}

func (a *App) runSandbox(ctx context.Context, address string, publicURL func() string) (url string, err error) {
	s, err := sandbox.New(ctx, sandbox.Config{
		DB: a.db, Log: a.log, SecretKey: a.rooms.keys.secret, PublishableKey: a.rooms.keys.publishable,
		AdminToken: a.derive("sandbox admin"), PublicURL: publicURL, WebhookSecret: a.sandboxWebhookSecret(),
	})
	if err != nil {
		return "", err
	}
	a.rooms.sandbox = s
	a.onStop(func(ctx context.Context) { _ = s.Stop(ctx) })
	return s.ListenOn(ctx, address)
}

// publicURL is where shoppers come back to: the configured address, or this machine's.
func (a *App) publicURL() string {
	if a.c.PublicURLGiven || a.listener == nil {
		return a.c.PublicURL
	}
	return a.URL() // HOST may have asked for any free port
}

func (a *App) sandboxWebhookSecret() string { return "whsec_" + a.derive("sandbox webhook") }

// derive makes a secret of the app's own from its master key: the same over restarts and for every
// server of the app.
func (a *App) derive(purpose string) string {
	mac := hmac.New(sha256.New, []byte(a.c.MasterKey.Reveal()))
	mac.Write([]byte("crema " + purpose))
	return hex.EncodeToString(mac.Sum(nil))[:32]
}
