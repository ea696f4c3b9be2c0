package cli

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"crema/server/app"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/cli/remote"
	"crema/server/core/deploys/operators"
)

// target says which server a command talks to. Without it, it is the one that this folder runs.
type target struct {
	Server string `placeholder:"URL" env:"CREMA_SERVER" help:"The server; without it, the one of this folder."`
	Token  string `placeholder:"TOKEN" env:"CREMA_TOKEN" help:"Token of an operator; without it, this folder's master key."`
	App    string `placeholder:"NAME" help:"Name of the app; without it, that of skygear.json or app.json, or the server's only one."`
}

// connect returns a client and a context that Ctrl-C ends.
func (t target) connect() (c remote.Client, ctx context.Context, stop func(), err error) {
	c = remote.New(t.Server, t.App, t.Token)
	read := config.OpenMade
	if c.Token != "" {
		read = config.Read
	}
	conf, err := read(".", os.LookupEnv)
	if fault.Is(err, "config.no_keys") {
		err = fault.Wrap(err, fault.NotConfigured, "cli.no_token", "no server has been started in this folder; set CREMA_SERVER to the one you mean, and CREMA_TOKEN to what crema operators token has printed there")
	}
	if err != nil {
		return c, nil, nil, err
	}
	if c.Token == "" && !own(c.URL, conf) {
		return c, nil, nil, fault.New(fault.Unauthenticated, "cli.no_token",
			"%s is not the server of this folder, whose master key stays here; give a token with CREMA_TOKEN (crema operators token makes one there)", c.URL)
	}
	c.Token = cmp.Or(c.Token, conf.MasterKey.Reveal())
	if c.App = cmp.Or(c.App, skygearApp(".")); c.App == "" && named() {
		c.App = conf.Name
	}
	c.URL = cmp.Or(c.URL, serverURL(conf))
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	if c.App == "" {
		if c.App, err = c.OnlyApp(ctx); err != nil {
			stop()
			return c, nil, nil, err
		}
	}
	return c, ctx, stop, nil
}

// named says that this folder's app has a name of its own.
func named() bool {
	_, err := os.Stat("app.json")
	return err == nil || os.Getenv("APP_NAME") != ""
}

// serverURL is where this folder's server answers.
func serverURL(c *config.Config) string {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || c.PublicURLGiven {
		return c.PublicURL
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// own says whether a server is the one of this folder: none was named, it has its address, or it is on this machine.
func own(server string, conf *config.Config) bool {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" { // none is named, or what is no URL gets nothing
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip.IsLoopback() || strings.TrimRight(server, "/") == conf.PublicURL
}

// skygearApp is the name that skycli init has written into a folder, "" without.
func skygearApp(dir string) string {
	var project struct{ App string }
	text, err := os.ReadFile(filepath.Join(dir, "skygear.json"))
	if err != nil || json.Unmarshal(text, &project) != nil {
		return ""
	}
	return project.App
}

// job begins something on the server and tells how it goes.
func (t target) job(env *environment, begin func(context.Context, remote.Client) (string, error)) error {
	c, ctx, stop, err := t.connect()
	if err != nil {
		return err
	}
	defer stop()
	id, err := begin(ctx, c)
	if err != nil {
		return err
	}
	return c.Follow(ctx, id, env.out)
}

// started is the answer to what begins a job.
type started struct{ Job string }

type deployCommand struct {
	target
	Dir string `arg:"" optional:"" default:"." help:"Folder of the project."`
}

// Run sends what has changed and waits until it is live.
func (d deployCommand) Run(env *environment) error {
	d.App = cmp.Or(d.App, skygearApp(d.Dir))
	files, odd, err := remote.Find(d.Dir)
	if err != nil {
		return err
	}
	for _, name := range odd {
		_, _ = fmt.Fprintf(env.errs, "left out: %s is no file\n", name)
	}
	return d.job(env, func(ctx context.Context, c remote.Client) (string, error) {
		return c.Deploy(ctx, d.Dir, files, env.out)
	})
}

type rollbackCommand struct {
	target
	Version *int64 `arg:"" optional:"" help:"Which version; without it, the one below the live one. 0 is the server's own folder."`
}

// Run makes an earlier version live.
func (r rollbackCommand) Run(env *environment) error {
	_, _ = fmt.Fprintln(env.out, "Data, schema and secrets stay as they are.")
	return r.job(env, func(ctx context.Context, c remote.Client) (string, error) {
		var s started
		err := c.Do(ctx, http.MethodPost, "/v2/apps/{app}/rollback", map[string]any{"version": r.Version}, &s)
		return s.Job, err
	})
}

type versionsCommand struct{ target }

// Run lists the versions that have been live.
func (v versionsCommand) Run(env *environment) error {
	var out struct {
		Versions []struct {
			Version int64
			By      string    `json:"made_by"`
			Made    time.Time `json:"made_at"`
			Live    bool
		}
	}
	if err := v.get("/v2/apps/{app}/versions", &out); err != nil {
		return err
	}
	return env.table(func(w io.Writer) {
		for _, o := range out.Versions {
			_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", o.Version, o.Made.Format(time.DateTime), o.By, map[bool]string{true: "live"}[o.Live])
		}
	})
}

func (t target) get(path string, out any) error { return t.do(http.MethodGet, path, nil, out) }

func (t target) do(method, path string, in, out any) error {
	c, ctx, stop, err := t.connect()
	if err != nil {
		return err
	}
	defer stop()
	return c.Do(ctx, method, path, in, out)
}

func (e *environment) table(rows func(io.Writer)) error {
	w := tabwriter.NewWriter(e.out, 0, 8, 2, ' ', 0)
	rows(w)
	return w.Flush()
}

type logsCommand struct {
	target
	Follow bool `short:"f" help:"Go on with what is logged from now on."`
	Tail   int  `default:"100" placeholder:"N" help:"How many lines that are there already, at most 1000."`
}

// Run prints what functions have logged on all servers.
func (l logsCommand) Run(env *environment) error {
	c, ctx, stop, err := l.connect()
	if err != nil {
		return err
	}
	defer stop()
	return c.Logs(ctx, l.Tail, l.Follow, env.out)
}

type secretsCommand struct {
	List   secretsList   `cmd:"" help:"Names of the secrets."`
	Set    secretsSet    `cmd:"" help:"Set a secret; its value is read from the standard input. The functions start anew."`
	Remove secretsRemove `cmd:"" help:"Remove a secret. The functions start anew."`
}

type secretsList struct{ target }

// Run lists names; nobody can read values.
func (s secretsList) Run(env *environment) error {
	var out struct {
		Secrets []struct {
			Name    string
			Changed time.Time `json:"changed_at"`
		}
	}
	if err := s.get("/v2/apps/{app}/secrets", &out); err != nil {
		return err
	}
	return env.table(func(w io.Writer) {
		for _, o := range out.Secrets {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", o.Name, o.Changed.Format(time.DateTime))
		}
	})
}

type secretsSet struct {
	target
	Name string `arg:"" help:"Its name in the environment of the functions."`
}

// Run reads the value from stdin: a command line is public on most machines.
func (s secretsSet) Run(env *environment) error {
	value, err := env.value()
	if err != nil {
		return err
	}
	return s.job(env, func(ctx context.Context, c remote.Client) (string, error) {
		var st started
		err := c.Do(ctx, http.MethodPut, "/v2/apps/{app}/secrets/"+s.Name, map[string]string{"value": value}, &st)
		return st.Job, err
	})
}

// value is a line that is typed, or all that is piped but for the end of its last line: keys in files have several.
func (e *environment) value() (string, error) {
	if e.terminal {
		return e.line("Value: ")
	}
	text, err := io.ReadAll(e.in)
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if err != nil || value == "" {
		return "", fault.Wrap(err, fault.Invalid, "cli.no_input", "give the value on the standard input")
	}
	return value, nil
}

// line reads one line, and asks for it where somebody can be asked.
func (e *environment) line(question string) (string, error) {
	if e.terminal {
		_, _ = fmt.Fprint(e.errs, question)
	}
	text, err := bufio.NewReader(e.in).ReadString('\n')
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", fault.Wrap(err, fault.Invalid, "cli.no_input", "give the value on the standard input")
	}
	return text, nil
}

type secretsRemove struct {
	target
	Name string `arg:"" help:"Its name."`
}

// Run removes a secret.
func (s secretsRemove) Run(env *environment) error {
	return s.job(env, func(ctx context.Context, c remote.Client) (string, error) {
		var st started
		err := c.Do(ctx, http.MethodDelete, "/v2/apps/{app}/secrets/"+s.Name, nil, &st)
		return st.Job, err
	})
}

type operatorsCommand struct {
	Add    operatorsAdd    `cmd:"" help:"Make an account that may deploy. A password may come on the standard input; else one is made up and printed."`
	List   operatorsList   `cmd:"" help:"List the accounts."`
	Remove operatorsRemove `cmd:"" help:"Remove an account; its tokens end at once."`
	Tokens operatorsTokens `cmd:"" help:"List the tokens."`
	Token  operatorsToken  `cmd:"" help:"Make a token for a program, such as a build server. It is printed only now."`
	Revoke operatorsRevoke `cmd:"" help:"End a token."`
}

// operators opens the accounts in the database of this folder.
func (e *environment) operators(work func(context.Context, *operators.Service) error) error {
	c, err := config.Read(".", os.LookupEnv)
	if err != nil {
		return err
	}
	forgetLibpq()
	return e.work(c, app.OpenOperators, func(ctx context.Context, t app.Tools) error {
		return work(ctx, operators.New(operators.Config{DB: t.Database()}))
	})
}

type operatorsAdd struct {
	Email string `arg:"" help:"Its e-mail address."`
}

// Run makes an account.
func (o operatorsAdd) Run(env *environment) error {
	password, made := rand.Text()[:20], true
	if !env.terminal {
		if text, err := env.line(""); err == nil {
			password, made = text, false
		}
	}
	return env.operators(func(ctx context.Context, s *operators.Service) error {
		err := s.Add(ctx, o.Email, password)
		if err == nil && made {
			_, err = fmt.Fprintln(env.out, password)
		}
		return err
	})
}

type operatorsList struct{}

// Run lists the accounts.
func (operatorsList) Run(env *environment) error {
	return env.operators(func(ctx context.Context, s *operators.Service) error {
		all, err := s.List(ctx)
		if err != nil {
			return err
		}
		return env.table(func(w io.Writer) {
			for _, o := range all {
				_, _ = fmt.Fprintf(w, "%s\t%s\n", o.Email, o.Created.Format(time.DateTime))
			}
		})
	})
}

type operatorsRemove struct {
	Email string `arg:"" help:"Its e-mail address."`
}

// Run removes an account.
func (o operatorsRemove) Run(env *environment) error {
	return env.operators(func(ctx context.Context, s *operators.Service) error { return s.Remove(ctx, o.Email) })
}

type operatorsTokens struct{}

// Run lists the tokens.
func (operatorsTokens) Run(env *environment) error {
	return env.operators(func(ctx context.Context, s *operators.Service) error {
		all, err := s.Tokens(ctx)
		if err != nil {
			return err
		}
		return env.table(func(w io.Writer) {
			for _, o := range all {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.ID, o.Email, o.Label, o.Created.Format(time.DateTime))
			}
		})
	})
}

type operatorsToken struct {
	Email string `arg:"" help:"Whose it is."`
	Label string `default:"deploy" placeholder:"TEXT" help:"What it is for."`
}

// Run makes a token.
func (o operatorsToken) Run(env *environment) error {
	return env.operators(func(ctx context.Context, s *operators.Service) error {
		_, text, err := s.CreateToken(ctx, o.Email, o.Label)
		if err == nil {
			_, err = fmt.Fprintln(env.out, text)
		}
		return err
	})
}

type operatorsRevoke struct {
	ID string `arg:"" help:"Its id, from crema operators tokens."`
}

// Run ends a token.
func (o operatorsRevoke) Run(env *environment) error {
	return env.operators(func(ctx context.Context, s *operators.Service) error { return s.Revoke(ctx, o.ID) })
}
