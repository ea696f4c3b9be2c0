package config

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	stripeSecret      = regexp.MustCompile(`^(?:sk|rk)_(test|live)_\w+$`)
	stripePublishable = regexp.MustCompile(`^pk_(test|live)_\w+$`)
	stripeWebhook     = regexp.MustCompile(`^whsec_\S+$`)
)

// mode is "test" or "live", "" for no key.
func mode(form *regexp.Regexp, key string) string {
	if m := form.FindStringSubmatch(key); m != nil {
		return m[1]
	}
	return ""
}

// read takes Stripe's keys and refuses those in the wrong place before anything is charged
// (stripe.md 2.9).
func (s *Stripe) read(v *variables) {
	s.SecretKey = v.secret("STRIPE_SECRET_KEY")
	publishable := v.secret("STRIPE_PUBLISHABLE_KEY")
	s.PublishableKey = publishable.Reveal()
	s.WebhookSecret = v.secret("STRIPE_WEBHOOK_SECRET")
	check(v.p, "STRIPE_SECRET_KEY", s.SecretKey, stripeSecret, "sk_test_, sk_live_, rk_test_ or rk_live_",
		"pk_", "that is a publishable key, which cannot charge; it belongs in STRIPE_PUBLISHABLE_KEY")
	check(v.p, "STRIPE_PUBLISHABLE_KEY", publishable, stripePublishable, "pk_test_ or pk_live_",
		"sk_", "that is a secret key, and it would be sent to every browser; it belongs in STRIPE_SECRET_KEY")
	check(v.p, "STRIPE_WEBHOOK_SECRET", s.WebhookSecret, stripeWebhook, "whsec_", "", "")
	s.readSandbox(v)
	secret, public := mode(stripeSecret, s.SecretKey.Reveal()), mode(stripePublishable, s.PublishableKey)
	switch {
	case secret != "" && public != "" && secret != public:
		v.p.add("STRIPE_SECRET_KEY is a %s key and STRIPE_PUBLISHABLE_KEY a %s key; take both from the same mode", secret, public)
	case s.SecretKey == "" && s.PublishableKey != "":
		v.p.add("STRIPE_PUBLISHABLE_KEY is given without STRIPE_SECRET_KEY; give both, or neither for the sandbox")
	case s.SecretKey == "" && s.WebhookSecret != "" && s.SandboxURL == "":
		v.p.add("STRIPE_WEBHOOK_SECRET is given without STRIPE_SECRET_KEY; give both, or neither for the sandbox")
	}
}

func (s *Stripe) readSandbox(v *variables) {
	raw, ok := v.get("STRIPE_SANDBOX_URL")
	if !ok {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "":
		v.p.add("STRIPE_SANDBOX_URL must be an address such as http://127.0.0.1:12111")
	case s.SecretKey != "":
		v.p.add("STRIPE_SANDBOX_URL is given together with STRIPE_SECRET_KEY; payments go either to the sandbox or to Stripe")
	}
	s.SandboxURL = strings.TrimRight(raw, "/")
}

func check(p *problems, name string, key Secret, form *regexp.Regexp, prefixes, mistake, why string) {
	switch s := key.Reveal(); {
	case s == "" || form.MatchString(s):
	case mistake != "" && strings.HasPrefix(s, mistake):
		p.add("%s begins with %q: %s", name, seen(s), why)
	default:
		p.add("%s begins with %q; it must begin with %s and hold letters, digits and _ only", name, seen(s), prefixes)
	}
}

// seen is as much of a key as may be shown: eight characters name its kind.
func seen(key string) string { return key[:min(8, len(key)/2)] }

// Sandbox says that no Stripe account is configured, so the built-in one is used.
func (s Stripe) Sandbox() bool { return s.SecretKey == "" }

// Live says that real money moves.
func (s Stripe) Live() bool { return mode(stripeSecret, s.SecretKey.Reveal()) == "live" }
