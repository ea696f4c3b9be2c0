package config

import (
	"net"
	"net/url"
	"regexp"
	"strings"
)

var (
	stripeSecret      = regexp.MustCompile(`^(?:sk|rk)_(test|live)_\w+$`)
	stripePublishable = regexp.MustCompile(`^pk_(test|live)_\w+$`)
	stripeWebhook     = regexp.MustCompile(`^whsec_[A-Za-z0-9_+/=-]+$`)
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
	check(v.p, "STRIPE_SECRET_KEY", s.SecretKey, stripeSecret, "sk_test_, sk_live_, rk_test_ or rk_live_",
		"pk_", "that is a publishable key, which cannot charge; it belongs in STRIPE_PUBLISHABLE_KEY")
	check(v.p, "STRIPE_PUBLISHABLE_KEY", publishable, stripePublishable, "pk_test_ or pk_live_",
		"sk_", "that is a secret key, and it would be sent to every browser; it belongs in STRIPE_SECRET_KEY. If a page had it already, roll it")
	s.readWebhookSecrets(v)
	s.readSandboxURL(v)
	secret, public := mode(stripeSecret, s.SecretKey.Reveal()), mode(stripePublishable, s.PublishableKey)
	switch {
	case secret != "" && public != "" && secret != public:
		v.p.add("STRIPE_SECRET_KEY is a %s key and STRIPE_PUBLISHABLE_KEY a %s key; take both from the same mode", secret, public)
	case s.SecretKey == "" && s.PublishableKey != "":
		v.p.add("STRIPE_PUBLISHABLE_KEY is given without STRIPE_SECRET_KEY; give both, or neither for the sandbox")
	case s.SecretKey == "" && len(s.WebhookSecrets) > 0 && s.SandboxURL == "":
		v.p.add("STRIPE_WEBHOOK_SECRET is given without STRIPE_SECRET_KEY; give both, or neither for the sandbox")
	}
}

func (s *Stripe) readWebhookSecrets(v *variables) {
	list := v.secret("STRIPE_WEBHOOK_SECRET").Reveal()
	for _, one := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		secret := Secret(one)
		check(v.p, "STRIPE_WEBHOOK_SECRET", secret, stripeWebhook, "whsec_",
			"we_", "that is the id of the endpoint; its signing secret begins with whsec_")
		s.WebhookSecrets = append(s.WebhookSecrets, secret)
	}
}

// readSandboxURL takes loopback addresses only: whoever answers there is sent card tokens.
func (s *Stripe) readSandboxURL(v *variables) {
	text, ok := v.get("STRIPE_SANDBOX_URL")
	if !ok {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Port() == "" {
		v.p.add("STRIPE_SANDBOX_URL must be an address such as http://127.0.0.1:4242, as crema sandbox prints it")
		return
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		v.p.add("STRIPE_SANDBOX_URL names %s; a sandbox is used on this machine only, so the address must be 127.0.0.1 or localhost", u.Hostname())
	}
	s.SandboxURL = "http://" + u.Host
	if (s.SecretKey == "") != (s.PublishableKey == "") {
		v.p.add("STRIPE_SANDBOX_URL needs STRIPE_SECRET_KEY and STRIPE_PUBLISHABLE_KEY, the same as the sandbox has, or neither of them")
	}
}

// checkPayments refuses what must not go live together.
func (c *Config) checkPayments(p *problems) {
	if c.Payments.TokenPath && c.Stripe.SecretKey != "" && c.Stripe.PublishableKey == "" {
		p.add("payments.token_path is on, but STRIPE_PUBLISHABLE_KEY is missing: pages cannot make card tokens without it; give it, or switch token_path off")
	}
	if !c.Stripe.liveKey() {
		return
	}
	if c.Stripe.SandboxURL != "" {
		p.add("STRIPE_SANDBOX_URL is given with a live key; a live key must never reach a sandbox: unset STRIPE_SANDBOX_URL, or give test keys")
	}
	if !c.Payments.Live {
		p.add(`STRIPE_SECRET_KEY is a live key, but app.json does not say "payments": {"live": true}; set it when real money is meant, or give test keys`)
	}
	switch {
	case !c.PublicURLGiven:
		p.add("a live key needs PUBLIC_URL: shoppers come back from Stripe's page to it; set it to the shop's https:// address")
	case !strings.HasPrefix(c.PublicURL, "https://"):
		p.add("PUBLIC_URL is %s; with a live key it must begin with https://", c.PublicURL)
	}
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

// Kind is as much of the secret key as may be shown, sk_live_ or the like; "" for none.
func (s Stripe) Kind() string { return seen(s.SecretKey.Reveal()) }

// Sandbox says that no Stripe account is used, but a sandbox: the built-in one, or that of SandboxURL.
func (s Stripe) Sandbox() bool { return s.SecretKey == "" || s.SandboxURL != "" }

// Live says that real money moves.
func (s Stripe) Live() bool { return s.liveKey() && !s.Sandbox() }

// liveKey says that one of the keys, perhaps in the wrong slot, is a live one.
func (s Stripe) liveKey() bool {
	return strings.HasPrefix(s.SecretKey.Reveal()[min(2, len(s.SecretKey)):], "_live_") ||
		strings.HasPrefix(s.PublishableKey[min(2, len(s.PublishableKey)):], "_live_")
}
