package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/core/functions/workers"
	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
	"crema/server/web/skygear/sdk"
)

// charging are functions that pay with the provider's own packages, as tutorials write them.
var charging = map[workers.Language]map[string]string{
	workers.Python: {"shop.py": `
import os
import skygear
import stripe

stripe.api_key = os.environ["STRIPE_SECRET_KEY"]

@skygear.op("charge")
def charge(amount):
    charge = stripe.Charge.create(amount=amount, currency="usd", source="tok_visa", description="beans")
    return {"status": charge.status, "amount": charge.amount}

@skygear.op("client")
def client(amount):
    if not hasattr(stripe, "StripeClient"):  # before version 8
        return charge(amount)
    charges = stripe.StripeClient(stripe.api_key, base_addresses={"api": "https://api.stripe.com"}).v1.charges
    done = charges.create(params={"amount": amount, "currency": "usd", "source": "tok_visa"})
    return {"status": done.status, "amount": done.amount}

@skygear.op("leave")
def leave():
    os._exit(1)
`},
	workers.JavaScript: {"index.js": `
const stripe = require(process.env.STRIPE_PACKAGE)(process.env.STRIPE_SECRET_KEY);
const {op} = require('skygear/cloud');

op('charge', async ({args: {amount}}) => {
  const charge = await stripe.charges.create({amount, currency: 'usd', source: 'tok_visa', description: 'beans'});
  return {status: charge.status, amount: charge.amount};
});
`},
}

// openFunctions starts a pool of functions that pay in a sandbox.
func openFunctions(t *testing.T, c workers.Config, log *bytes.Buffer) *workers.Pool {
	t.Helper()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	c.Env["STRIPE_API_BASE"], c.Env["STRIPE_SECRET_KEY"] = s.URL, sandboxtest.SecretKey
	for name, text := range charging[c.Language] {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	client, err := sdk.CommonJS()
	if err != nil {
		t.Fatal(err)
	}
	c.Client, c.LoadLimit, c.Log = string(client), 60*time.Second, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p, err := workers.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	if problems := p.Registered().Problems; len(problems) > 0 {
		t.Fatal(problems[0].Trace)
	}
	return p
}

func charge(t *testing.T, p *workers.Pool, amount int) {
	t.Helper()
	chargeWith(t, p, "charge", amount)
}

func chargeWith(t *testing.T, p *workers.Pool, function string, amount int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	got, err := p.Call(ctx, workers.Op, function, fmt.Appendf(nil, `{"args":{"amount":%d}}`, amount), workers.Caller{})
	var paid struct {
		Status string
		Amount int
	}
	if err := errors.Join(err, json.Unmarshal(got, &paid)); err != nil || paid.Status != "succeeded" || paid.Amount != amount {
		t.Errorf("a charge: %s, %v", got, err)
	}
}

func TestPythonStripe_InFunctions(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"old", "new"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			python, err := filepath.Abs(needVenv(t, which))
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			p := openFunctions(t, workers.Config{Language: workers.Python, Program: python, Dir: t.TempDir(), Env: map[string]string{}}, &log)
			charge(t, p, 700)
			chargeWith(t, p, "client", 900)
			for range 3 { // each ends its worker; the next one has the package already
				ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
				if _, err := p.Call(ctx, workers.Op, "leave", []byte(`{}`), workers.Caller{}); !fault.Is(err, "workers.crashed") {
					t.Errorf("a function that ends its worker: %v", err)
				}
				cancel()
				charge(t, p, 800)
			}
			p.Stop()
			t.Log("starts took", regexp.MustCompile(`took=\S+`).FindAllString(log.String(), -1))
		})
	}
}

func TestNPMStripe_InFunctions(t *testing.T) {
	t.Parallel()
	needPackages(t, "stripe", "stripe4")
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{"stripe", "stripe4"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			p := openFunctions(t, workers.Config{Language: workers.JavaScript, Dir: dir, Env: map[string]string{"STRIPE_PACKAGE": which}}, &log)
			charge(t, p, 700)
			charge(t, p, 800)
		})
	}
}

// A placeholder that was left in the code is refused with a sentence about it.
func TestPythonStripe_PlaceholderOfATutorial(t *testing.T) {
	t.Parallel()
	python, err := filepath.Abs(needVenv(t, "old"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tutorial.py"), []byte("import skygear\nimport stripe\n\n@skygear.op('pay')\ndef pay():\n"+
		"    stripe.api_key = '<your-stripe-private-key>'\n    return stripe.Charge.create(amount=1000, currency='usd', source='tok_visa')\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := openFunctions(t, workers.Config{Language: workers.Python, Program: python, Dir: dir, Env: map[string]string{}}, &log)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := p.Call(ctx, workers.Op, "pay", []byte(`{}`), workers.Caller{}); !strings.Contains(fault.From(err).Message, "key") {
		t.Errorf("a placeholder for the key: %v", err)
	}
}
