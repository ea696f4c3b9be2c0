package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"crema/server/app"
	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/base/telemetry"
	"crema/server/core/payments"
	"crema/server/core/payments/provider"
)

type doctorCommand struct{}

// Bounds of the doctor.
const (
	fewBytes   = 100 << 20 // PostgreSQL stops when the disk is full
	someBytes  = 1 << 30
	warnSkew   = time.Minute
	quietAfter = 7 * 24 * time.Hour // without a notice, although some came before
	doctorTime = time.Minute
)

// doctor prints one line a finding.
type doctor struct {
	env    *environment
	c      *config.Config
	faults int
}

// Run checks everything that it can reach and fails when there is a fault. It changes nothing; a private
// cluster that is not running runs meanwhile.
func (doctorCommand) Run(env *environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	d := &doctor{env: env}
	if d.configuration() {
		d.keys()
		d.account()
		d.address()
		d.site()
		d.folder()
		d.programs()
		d.server(ctx)
		d.database(ctx)
	}
	if d.faults > 0 {
		return exitStatus(exitError)
	}
	return nil
}

func (d *doctor) say(level, what, format string, args ...any) {
	_, _ = fmt.Fprintf(d.env.out, "%-8s %-12s %s\n", level, what, fmt.Sprintf(format, args...))
}

func (d *doctor) ok(what, format string, args ...any) { d.say("ok", what, format, args...) }

func (d *doctor) warn(what, format string, args ...any) { d.say("warning", what, format, args...) }

func (d *doctor) fault(what, format string, args ...any) {
	d.faults++
	d.say("fault", what, format, args...)
}

// configuration reads app.json, .env and the environment; nothing else can be said when they are wrong.
func (d *doctor) configuration() bool {
	c, err := config.Read(".", os.LookupEnv)
	if err != nil {
		f := fault.From(err)
		problems, _ := f.Details["problems"].([]string)
		if len(problems) == 0 {
			problems = []string{f.Message}
		}
		for _, p := range problems {
			d.fault("settings", "%s", p)
		}
		return false
	}
	d.c = c
	if _, err := os.Stat("app.json"); errors.Is(err, fs.ErrNotExist) {
		d.warn("settings", "there is no app.json in this folder; go to the app's folder, or every setting keeps its default")
	} else {
		d.ok("settings", "app.json and the environment are in order; the app is %q", c.Name)
	}
	if c.DevMode && (c.PublicURLGiven || c.Stripe.Live()) {
		d.warn("settings", "DEV_MODE is on: everybody with the public API key may add record types and fields; set DEV_MODE=false on a public server")
	}
	if info, err := os.Stat(".env"); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.warn("settings", "other users of this machine may read .env; run chmod 600 .env, or functions that run as nobody find its secrets too")
	}
	return true
}

// keys completes the configuration with the keys that were made before.
func (d *doctor) keys() {
	c, err := config.OpenMade(".", os.LookupEnv)
	switch {
	case fault.Is(err, "config.no_keys"):
		d.warn("keys", "there are no keys yet; the first start makes them")
	case err != nil:
		d.fault("keys", "%s", fault.From(err).Message)
	default:
		d.c = c
		d.ok("keys", "API key and master key are there")
	}
}

func (d *doctor) account() {
	s := d.c.Stripe
	switch {
	case s.SandboxURL != "":
		d.ok("account", "sandbox at %s: no money moves", s.SandboxURL)
	case s.Sandbox():
		d.ok("account", "built-in sandbox: no money moves; set STRIPE_SECRET_KEY to use Stripe")
		return
	case s.Live():
		d.ok("account", "live: real money moves, with a key of kind %s", s.Kind())
	default:
		d.ok("account", "test: no money moves, with a key of kind %s", s.Kind())
	}
	if strings.HasPrefix(s.Kind(), "sk_live_") {
		d.warn("account", "the key may do everything; a restricted key (rk_live_) with the rights of the guide is safer")
	}
	if len(s.WebhookSecrets) == 0 && s.SandboxURL == "" {
		d.warn("account", "STRIPE_WEBHOOK_SECRET is missing: refunds, disputes and late payments are noticed late; run crema payments webhook create")
	}
	if d.c.Payments.TokenPath && !s.Sandbox() {
		d.warn("account", "payments.token_path is on: cards that need their bank's confirmation are declined on that path; the hosted checkout takes them")
	}
}

func (d *doctor) address() {
	switch {
	case !d.c.PublicURLGiven && !d.c.Stripe.Sandbox():
		d.warn("address", "PUBLIC_URL is not set: shoppers are sent back to %s; set it to the shop's https:// address", d.c.PublicURL)
	case strings.HasPrefix(d.c.PublicURL, "https://") && len(d.c.TrustedProxies) == 0:
		d.warn("address", "%s is served by a proxy, but TRUSTED_PROXIES is not set: all shoppers count as one address; set it to the proxy's address", d.c.PublicURL)
	default:
		d.ok("address", "shoppers find the shop at %s", d.c.PublicURL)
	}
}

// secretKey is what must never be on a page: everybody can read it there.
var secretKey = regexp.MustCompile(`(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[0-9A-Za-z]{16,}`)

// site looks for keys in the files that everybody may read.
func (d *doctor) site() {
	found := false
	root, err := filepath.EvalSymlinks(d.c.StaticDir)
	if err != nil {
		d.warn("site", "there is no site in %s", d.c.StaticDir)
		return
	}
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be read here cannot be served either
		}
		if text, err := os.ReadFile(path); err == nil && secretKey.Match(text) {
			found = true
			d.fault("site", "%s holds a secret key or a webhook secret, and everybody can read it; take it out and roll it in Stripe's Dashboard", path)
		}
		return nil
	})
	if !found {
		d.ok("site", "no secret key stands in a page")
	}
}

func (d *doctor) folder() {
	info, err := os.Stat(d.c.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.warn("data", "there is no data folder %s yet; the first start makes it", d.c.DataDir)
		return
	case err != nil:
		d.fault("data", "the data folder %s cannot be read; mend its permissions", d.c.DataDir)
		return
	case info.Mode().Perm()&0o022 != 0:
		d.fault("data", "others may write into the data folder %s; run chmod go-w on it", d.c.DataDir)
	}
	probe, err := os.CreateTemp(d.c.DataDir, ".doctor-*")
	if err != nil {
		d.fault("data", "the data folder %s cannot be written to; run as its owner, or mend its permissions", d.c.DataDir)
		return
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	d.space()
}

func (d *doctor) space() {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.c.DataDir, &st); err != nil {
		return
	}
	free := st.Bavail * uint64(st.Bsize) //nolint:gosec,unconvert // its type differs between systems
	text := fmt.Sprintf("%s has %d MB free", d.c.DataDir, free>>20)
	switch {
	case free < fewBytes:
		d.fault("data", "%s; PostgreSQL stops when there is none: make room", text)
	case free < someBytes:
		d.warn("data", "%s; make room before it is none", text)
	default:
		d.ok("data", "%s", text)
	}
}

func (d *doctor) programs() {
	b, err := cluster.FindBinaries()
	if err != nil && d.c.DatabaseURL == "" {
		d.fault("postgres", "%s", fault.From(err).Message)
	}
	_, onPath := exec.LookPath("psql")
	_, beside := os.Stat(filepath.Join(b.Dir, "psql"))
	if onPath != nil && (err != nil || beside != nil) {
		d.warn("psql", "psql was not found; install PostgreSQL's client programs to look into the database")
		return
	}
	d.ok("psql", "psql is installed")
}

// server asks the server that runs on this machine how its payments are. It tells nobody the master key:
// what listens there may be something else.
func (d *doctor) server(ctx context.Context) {
	host, port, err := net.SplitHostPort(d.c.Listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if err != nil || port == "0" || !app.Loopback(net.JoinHostPort(host, port)) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz/payments", nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.warn("server", "no server answers on %s; start it with crema serve", d.c.Listen)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	var h payments.Health
	switch err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&h); {
	case err != nil || h.Status == "":
		d.warn("server", "what listens on %s does not answer like this app (HTTP %d)", d.c.Listen, resp.StatusCode)
	case h.Status != "ok":
		d.fault("server", "the server on %s is %s: %s", d.c.Listen, h.Status, strings.Join(h.Why, "; "))
	default:
		d.ok("server", "the server on %s takes payments", d.c.Listen)
	}
}

func (d *doctor) database(ctx context.Context) {
	if d.c.DatabaseURL == "" && !cluster.Exists(d.c.DataDir) {
		d.warn("database", "there is no private database in %s yet; the first start makes it", d.c.DataDir)
		return
	}
	log := telemetry.NewLogger(d.env.errs, slog.LevelError, d.c.Log.Format)
	defer telemetry.Flush(log)
	t, err := app.OpenDatabase(ctx, d.c, log)
	if err != nil {
		d.fault("database", "%s", fault.From(err).Message)
		return
	}
	defer func() {
		grace, cancel := context.WithTimeout(context.Background(), app.Grace)
		defer cancel()
		t.Stop(grace)
	}()
	about, err := t.Database().About(ctx)
	if err != nil {
		d.fault("database", "%s", fault.From(err).Message)
		return
	}
	d.describe(t.Database(), about)
	if d.c.MasterKey == "" {
		return
	}
	if err := t.OpenPayments(ctx); err != nil {
		d.fault("tables", "%s", fault.From(err).Message)
		return
	}
	d.ok("tables", "the tables are up to date")
	d.provider(ctx, t)
	d.books(ctx, t.Payments())
}

func (d *doctor) describe(db *pg.DB, about pg.About) {
	kind := db.Named()
	if d.c.DatabaseURL == "" {
		kind = "the private cluster"
	}
	d.ok("database", "PostgreSQL %s in %s, %d MB", about.Server, kind, about.Bytes>>20)
	if !about.PostGIS {
		d.warn("postgis", "PostGIS is not installed: records cannot hold locations; install it (Debian, Ubuntu: apt-get install postgresql-postgis) if you need them")
	}
}

func (d *doctor) provider(ctx context.Context, t app.Tools) {
	a, err := t.Payments().Account(ctx)
	if err != nil {
		d.fault("provider", "%s", fault.From(err).Message)
		d.skew(a.Skew)
		return
	}
	for _, r := range a.Rights {
		if r.Needed {
			d.fault("provider", "the key may not use %s; give it that right in Stripe's Dashboard", strings.TrimSpace(r.Name+" "+r.Hint))
		} else {
			d.warn("provider", "the key may not read %s, so they are not checked", r.Name)
		}
	}
	if !a.Charges {
		d.fault("provider", "the account cannot take payments yet; finish its activation in Stripe's Dashboard")
	}
	if len(a.Rights) == 0 && a.Charges {
		d.ok("provider", "the provider answers and the key may read all that is needed")
	}
	d.skew(a.Skew)
	readable := !slices.ContainsFunc(a.Rights, func(r provider.Right) bool { return !r.Needed })
	if !t.InSandbox() && readable {
		d.endpoint(a)
	}
}

func (d *doctor) skew(ahead time.Duration) {
	off := ahead.Abs().Round(time.Second)
	switch {
	case off > payments.MaxSkew:
		d.fault("clock", "this machine's clock differs by %s from the provider's: notices are refused; set it by NTP", off)
	case off > warnSkew:
		d.warn("clock", "this machine's clock differs by %s from the provider's; set it by NTP", off)
	default:
		d.ok("clock", "this machine's clock agrees with the provider's")
	}
}

// endpoint looks for the one that sends to this shop.
func (d *doctor) endpoint(a payments.Account) {
	url := d.c.PublicURL + app.WebhookPath
	for _, e := range a.Webhooks {
		if e.URL != url {
			continue
		}
		switch {
		case !e.Enabled:
			d.fault("webhook", "endpoint %s is switched off at the provider; switch it on in the Dashboard, after you have found out why", e.ID)
		case len(e.Missing) > 0:
			d.warn("webhook", "endpoint %s does not send %s; add them in the Dashboard", e.ID, strings.Join(e.Missing, ", "))
		case !e.Speaks():
			d.warn("webhook", "endpoint %s sends version %s; make another with crema payments webhook create --again, and delete this one", e.ID, cmp.Or(e.APIVersion, "of the account"))
		default:
			d.ok("webhook", "endpoint %s sends to %s", e.ID, url)
		}
		return
	}
	say := d.warn
	if d.c.Stripe.Live() {
		say = d.fault
	}
	say("webhook", "the provider sends no notices to %s; run crema payments webhook create", url)
}

// books tells what waits for somebody.
func (d *doctor) books(ctx context.Context, s *payments.Service) {
	h, err := s.Health(ctx)
	if err != nil {
		d.fault("payments", "%s", fault.From(err).Message)
		return
	}
	d.notices(h)
	before := d.faults
	if h.OldestOpen > payments.MaxUnknown.Seconds() {
		d.fault("payments", "the outcome of %d payments is unknown, the oldest for %s; is the server running? crema payments list --state open",
			h.Open, time.Duration(h.OldestOpen*float64(time.Second)).Round(time.Second))
	}
	for _, f := range []struct {
		n    int
		text string
	}{
		{h.NeedsReview, "%d payments need a decision; crema payments list --state needs_review, then recheck or look in the Dashboard"},
		{h.Breaks, "%d differences with the provider are open; crema payments breaks"},
		{h.OldRefunds, "%d refunds are not final after an hour; crema payments list --state refunded"},
		{h.OtherMode, "%d open payments were made in another mode; give every mode a database, or an APP_NAME, of its own"},
	} {
		if f.n > 0 {
			d.fault("payments", f.text, f.n)
		}
	}
	if h.Alarm {
		d.fault("payments", "so many cards are declined that new payments are closed for a while: somebody may be testing stolen cards")
	}
	if d.faults == before {
		d.ok("payments", "nothing waits for you")
	}
}

func (d *doctor) notices(h payments.Health) {
	if h.LastNotice == nil {
		if slices.Contains([]payments.Mode{payments.Test, payments.Live}, h.Mode) {
			d.warn("webhook", "no notice has ever come; send a test event from the Dashboard")
		}
		return
	}
	age := time.Duration(*h.LastNotice * float64(time.Second)).Round(time.Second)
	switch {
	case h.Waiting > 0 && age > payments.MaxUnknown:
		d.fault("webhook", "%d notices wait to be looked into; is the server running?", h.Waiting)
	case age > quietAfter:
		d.warn("webhook", "the last notice came %s ago; look at the endpoint in the Dashboard", age)
	default:
		d.ok("webhook", "the last notice came %s ago", age)
	}
}
