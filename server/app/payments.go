package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"

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
	mode, url := payments.Test, ""
	a.rooms.keys = providerKeys{a.c.Stripe.SecretKey.Reveal(), a.c.Stripe.PublishableKey}
	switch {
	case a.c.Stripe.Sandbox():
		mode = payments.Sandbox
		if url, err = a.openSandbox(ctx); err != nil {
			return err
		}
	case a.c.Stripe.Live():
		mode = payments.Live
	}
	fail, err := failpoint(os.Getenv(failpointVariable), mode)
	if err != nil {
		return err
	}
	a.rooms.payments, err = payments.New(payments.Config{
		DB: a.db, Log: a.log, Install: a.c.Name, Mode: mode, SecretKey: a.rooms.keys.secret, URL: url,
		PublicURL: a.publicURL(), LinkKey: a.derive("order links"), WebhookSecrets: a.webhookSecrets(),
		TokenPath: mode == payments.Sandbox,
		Alone:     a.cluster != nil, // its data folder is locked
		Failpoint: fail,
	})
	if err != nil {
		return err
	}
	a.rooms.payments.Start(ctx)
	a.onStop(a.rooms.payments.Stop)
	return nil
}

// openSandbox starts the offline Stripe. Its keys derive from the master key, so that they stay the
// same over restarts and for every server of the app.
func (a *App) openSandbox(ctx context.Context) (url string, err error) {
	a.rooms.keys = providerKeys{"sk_test_" + a.derive("sandbox secret"), "pk_test_" + a.derive("sandbox publishable")}
	if a.c.Stripe.SandboxURL != "" { // in a process of its own, with the same keys
		return a.c.Stripe.SandboxURL, nil
	}
	a.rooms.sandbox, err = sandbox.New(ctx, sandbox.Config{
		DB: a.db, Log: a.log, SecretKey: a.rooms.keys.secret, PublishableKey: a.rooms.keys.publishable,
		AdminToken: a.derive("sandbox admin"), PublicURL: a.publicURL, WebhookSecret: a.sandboxWebhookSecret(),
	})
	if err != nil {
		return "", err
	}
	a.rooms.sandbox.Start(ctx)
	url, err = a.rooms.sandbox.Listen(ctx)
	a.onStop(func(ctx context.Context) { _ = a.rooms.sandbox.Stop(ctx) })
	return url, err
}

// publicURL is where shoppers come back to: the configured address, or this machine's.
func (a *App) publicURL() string {
	if a.c.PublicURLGiven {
		return a.c.PublicURL
	}
	return a.URL() // HOST may have asked for any free port
}

func (a *App) webhookSecrets() []string {
	if a.c.Stripe.Sandbox() && a.c.Stripe.WebhookSecret == "" {
		return []string{a.sandboxWebhookSecret()}
	}
	return strings.FieldsFunc(a.c.Stripe.WebhookSecret.Reveal(), func(r rune) bool { return r == ',' || r == ' ' })
}

func (a *App) sandboxWebhookSecret() string { return "whsec_" + a.derive("sandbox webhook") }

// derive makes a secret of the app's own from its master key: the same over restarts and for every
// server of the app.
func (a *App) derive(purpose string) string {
	mac := hmac.New(sha256.New, []byte(a.c.MasterKey.Reveal()))
	mac.Write([]byte("crema " + purpose))
	return hex.EncodeToString(mac.Sum(nil))[:32]
}
