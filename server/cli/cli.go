package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/lambda"
)

// Exit codes, for service managers and scripts.
const (
	exitOK = iota
	exitError
	exitUsage
	exitConfig
	exitDatabase
)

type commands struct {
	Serve     serveCommand     `cmd:"" help:"Run the server in the foreground; logs go to stderr."`
	Dev       devCommand       `cmd:"" help:"Run the server and print what a developer needs to know."`
	Sandbox   sandboxCommand   `cmd:"" help:"Run the offline Stripe in a process of its own, for servers with STRIPE_SANDBOX_URL."`
	Psql      psqlCommand      `cmd:"" help:"Open psql on the app's database. Further arguments go to psql." passthrough:"all"`
	Payments  paymentsCommand  `cmd:"" help:"Look at payments, refund them, compare them with the provider."`
	Deploy    deployCommand    `cmd:"" help:"Make this folder's functions and files live on a server. Only what has changed travels."`
	Rollback  rollbackCommand  `cmd:"" help:"Make an earlier version live again."`
	Versions  versionsCommand  `cmd:"" help:"List the versions that have been live."`
	Logs      logsCommand      `cmd:"" help:"Print what functions log."`
	Secrets   secretsCommand   `cmd:"" help:"What functions get in their environment and nobody else may see."`
	Keys      keysCommand      `cmd:"" help:"Print the end point and the keys that pages and functions need."`
	Operators operatorsCommand `cmd:"" help:"Who may deploy."`
	Import    importCommand    `cmd:"" help:"Bring in what another server has left."`
	Doctor    doctorCommand    `cmd:"" help:"Check configuration, database and provider; say what is missing and how to mend it."`
}

// environment is what commands may touch.
type environment struct {
	started  time.Time
	fns      []lambda.Function
	in       io.Reader
	terminal bool // somebody can be asked
	out      io.Writer
	errs     io.Writer
}

// Main runs one command with the app's functions and returns the exit code.
func Main(args []string, fns []lambda.Function) int {
	env := &environment{started: time.Now(), fns: fns, in: os.Stdin, terminal: isTerminal(os.Stdin), out: os.Stdout, errs: os.Stderr}
	var c commands
	code := -1
	parser, err := kong.New(&c, kong.Name("crema"),
		kong.Description("One server for a small shop or app: static site, functions, records, payments."),
		kong.Exit(func(n int) { code = n }), kong.UsageOnError())
	if err != nil {
		return env.fail(err)
	}
	ctx, err := parser.Parse(args)
	switch {
	case code >= 0: // --help has been printed
		return code
	case err != nil:
		_, _ = fmt.Fprintf(env.errs, "crema: %s\nSee crema --help.\n", err)
		return exitUsage
	}
	if err := ctx.Run(env); err != nil {
		return env.fail(err)
	}
	return exitOK
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// exitStatus carries the exit code of a program that a command has run.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// fail prints an error for people and returns its exit code.
func (e *environment) fail(err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	f := fault.From(err)
	_, _ = fmt.Fprintln(e.errs, "crema: "+f.Message)
	if f.Code == fault.Internal || f.Code == fault.DatabaseUnavailable {
		_, _ = fmt.Fprintln(e.errs, "cause: "+telemetry.Redact(err.Error()))
	}
	switch {
	case f.Code == fault.DatabaseUnavailable, f.Reason == "adoption.layout", strings.HasPrefix(f.Reason, "cluster."), strings.HasPrefix(f.Reason, "pg."):
		return exitDatabase
	case f.Code == fault.NotConfigured:
		return exitConfig
	case f.Code == fault.Invalid:
		return exitUsage
	}
	return exitError
}

func (e *environment) config() (*config.Config, error) { return config.Open(".", os.LookupEnv) }
