package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"crema/server/app"
	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/pgdump"
	"crema/server/base/telemetry"
	"crema/server/core/adoption"
)

type importCommand struct {
	Skygear importSkygear `cmd:"" help:"Bring the dump of an app's Skygear v1 database into an app that nobody has used yet. Stop its servers first. Exit codes: 0 done, 1 nothing was changed, 2 usage, 3 configuration, 4 database."`
}

type importSkygear struct {
	Dump    string `arg:"" help:"What pg_dump has written, in any of its formats, also with gzip; - reads it from the standard input."`
	AppName string `name:"app-name" placeholder:"NAME" help:"Which app of the dump; needed when it holds several."`
	Assets  string `placeholder:"DIR" help:"Folder with the files of the app's assets (data/asset of the old server); they are copied."`
}

// Run imports and tells what has come.
func (i importSkygear) Run(env *environment) error {
	if i.Assets != "" {
		if info, err := os.Stat(i.Assets); err != nil || !info.IsDir() {
			return fault.Argument("cli.assets", "assets", "--assets must be a folder that can be read, and %s is not", i.Assets)
		}
	}
	c, err := env.config()
	if err != nil {
		return err
	}
	forgetLibpq()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dump, err := pgdump.Open(ctx, i.Dump, os.Stdin, restoreProgram)
	if err != nil {
		return err
	}
	defer dump.Close()
	log := telemetry.NewLogger(env.errs, c.Log.Level, c.Log.Format)
	defer telemetry.Flush(log)
	to, err := app.OpenImport(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() {
		grace, cancel := context.WithTimeout(context.Background(), app.Grace)
		defer cancel()
		to.Stop(grace)
	}()
	return i.bring(ctx, env, c, to, dump)
}

func (i importSkygear) bring(ctx context.Context, env *environment, c *config.Config, to app.Importer, dump *pgdump.File) error {
	begun := time.Now()
	sum, err := to.Import(ctx, adoption.Dump{Script: dump, AppName: i.AppName, Progress: func(table string, rows int64) {
		_, _ = fmt.Fprintf(env.errs, "%12s rows of %s\n", grouped(rows), table)
	}})
	switch {
	case ctx.Err() != nil:
		return fault.New(fault.Unavailable, "cli.interrupted", "interrupted; nothing was changed")
	case err != nil:
		return err
	}
	env.imported(c, sum, time.Since(begun))
	if i.Assets == "" {
		if sum.Assets > 0 {
			_, _ = fmt.Fprintf(env.out, "The files of the assets are not here yet: copy them below the names of the assets into %s, or run this on an empty app again with --assets DIR.\n", assetPlace(c))
		}
		return nil
	}
	return i.collect(ctx, env, to)
}

// collect copies the files. What was imported stays when one cannot be copied.
func (i importSkygear) collect(ctx context.Context, env *environment, to app.Importer) error {
	got, err := to.CollectAssets(ctx, os.DirFS(i.Assets))
	if err != nil {
		return fmt.Errorf("the database is in; the files are not all: %w", err)
	}
	_, _ = fmt.Fprintf(env.out, "Files of assets: %s copied, %s there already, %s missing\n",
		grouped(int64(got.Copied)), grouped(int64(got.There)), grouped(int64(len(got.Missing))))
	for n, name := range got.Missing {
		if n == shownMissing {
			_, _ = fmt.Fprintln(env.out, "  ...")
			break
		}
		_, _ = fmt.Fprintf(env.out, "  %q\n", name)
	}
	return nil
}

// restoreProgram is pg_restore beside the server's PostgreSQL, or the one on PATH.
func restoreProgram() (string, error) {
	if b, err := cluster.FindBinaries(); err == nil {
		if _, err := os.Stat(b.Path("pg_restore")); err == nil {
			return b.Path("pg_restore"), nil
		}
	}
	path, err := exec.LookPath("pg_restore")
	if err != nil {
		return "", fault.New(fault.NotConfigured, "cli.pg_restore",
			"this dump needs pg_restore, which was not found; install PostgreSQL's client programs, or make the dump with pg_dump -Fp")
	}
	return path, nil
}

// shownMissing is how many missing files are named.
const shownMissing = 10

func assetPlace(c *config.Config) string {
	if c.Assets.S3 != nil {
		return "the bucket " + c.Assets.S3.Bucket
	}
	return c.Assets.Dir
}

// imported tells what has come and what to do next.
func (e *environment) imported(c *config.Config, sum adoption.Summary, took time.Duration) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(e.out, format+"\n", args...) }
	say("Imported %s into %s in %s (Skygear's migrations: %s)", sum.From, app.Schema(c), took.Round(time.Millisecond), sum.Version)
	if sum.From != app.Schema(c) {
		say("The app was called %s there, and is %s here.", strings.TrimPrefix(sum.From, "app_"), c.Name)
	}
	say("  %12s users", grouped(sum.Users))
	say("  %12s roles", grouped(sum.Roles))
	say("  %12s assets", grouped(sum.Assets))
	say("  %12s records of %d types", grouped(sum.Rows()), len(sum.Types))
	for _, t := range sum.Types {
		say("  %12s   %s", grouped(t.Rows), t.Name)
	}
	for _, s := range sum.Skipped {
		say("Left out: %s", s)
	}
	if by := strings.Join(sum.LogInBy, " or "); by != "" && by != "username or email" {
		say("People logged in by %s: set AUTH_RECORD_KEYS=(%s) before the server starts.", by, strings.Join(sum.LogInBy, "),("))
	}
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
