package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"crema/server/app"
	"crema/server/base/cluster"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/base/pgdump"
	"crema/server/core/adoption"
)

type importCommand struct {
	Skygear importSkygear `cmd:"" help:"Bring the dump of an app's Skygear v1 database into an app that nobody has used yet. Stop its servers first. Exit codes: 0 done, 1 nothing was changed, 2 usage, 3 configuration, 4 database."`
	Assets  importAssets  `cmd:"" help:"Copy the files of imported assets, beside a running server too. Again, it goes on where it has stopped."`
}

type importSkygear struct {
	Dump    string `arg:"" help:"What pg_dump has written, in any of its formats, also with gzip; - reads it from the standard input."`
	AppName string `name:"app-name" placeholder:"NAME" help:"Which app of the dump; needed when it holds several."`
	Assets  string `placeholder:"DIR" help:"Then copy the files of assets from this folder, as crema import assets does."`
}

// Run imports and tells what has come.
func (i importSkygear) Run(env *environment) error {
	if i.Assets != "" {
		if err := checkFolder("--assets", i.Assets); err != nil {
			return err
		}
	}
	dump, err := pgdump.Open(context.Background(), i.Dump, env.in, restoreProgram)
	if err != nil {
		return err
	}
	defer dump.Close()
	c, err := env.config()
	if err != nil {
		return err
	}
	forgetLibpq()
	return env.work(c, app.OpenImport, func(ctx context.Context, to app.Tools) error {
		begun := time.Now()
		sum, err := to.Import(ctx, adoption.Dump{Script: dump, AppName: i.AppName, Progress: func(table string, rows int64) {
			_, _ = fmt.Fprintf(env.errs, "%12s rows of %s\n", grouped(rows), table)
		}})
		switch {
		case err == nil:
			env.imported(sum, to.Database().Schema(), time.Since(begun))
		case ctx.Err() != nil:
			return fault.Wrap(err, fault.BadRequest, "cli.interrupted", "interrupted; nothing was changed")
		default:
			return err
		}
		switch {
		case i.Assets != "":
			return env.collect(ctx, to, i.Assets)
		case sum.Assets > 0:
			_, _ = fmt.Fprintln(env.out, "The files of the assets are not here yet. Copy them with: crema import assets <folder of the old server, data/asset>")
		}
		return nil
	})
}

type importAssets struct {
	Folder string `arg:"" help:"Where the old server kept its files: data/asset, or ASSET_STORE_PATH."`
}

// Run copies what is not there yet.
func (i importAssets) Run(env *environment) error {
	if err := checkFolder("the folder", i.Folder); err != nil {
		return err
	}
	return env.with(app.OpenDatabase, func(ctx context.Context, to app.Tools) error { return env.collect(ctx, to, i.Folder) })
}

func checkFolder(what, name string) error {
	if info, err := os.Stat(name); err != nil || !info.IsDir() {
		return fault.Argument("cli.assets", "assets", "%s must be a folder that can be read, and %s is not", what, name)
	}
	return nil
}

// collect copies files of assets. What was imported stays when one cannot be copied.
func (e *environment) collect(ctx context.Context, to app.Tools, folder string) error {
	got, err := to.CollectAssets(ctx, os.DirFS(folder))
	if err != nil {
		f := fault.From(err)
		return fault.Wrap(err, f.Code, f.Reason, "not all files are copied, the rest stays: %s; to go on: crema import assets %s", f.Message, folder)
	}
	_, _ = fmt.Fprintf(e.out, "Files of assets: %s copied, %s there already, %s missing\n",
		grouped(int64(got.Copied)), grouped(int64(got.There)), grouped(int64(len(got.Missing))))
	for _, name := range got.Missing[:min(len(got.Missing), shownMissing)] {
		_, _ = fmt.Fprintf(e.out, "  missing: %q\n", name)
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

// imported tells what has come and what to do next.
func (e *environment) imported(sum adoption.Summary, schema pg.Ident, took time.Duration) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(e.out, format+"\n", args...) }
	say("Imported %s into %s in %s (Skygear's migrations: %s)", sum.From, schema, took.Round(time.Millisecond), sum.Version)
	if sum.From != string(schema) {
		say("The app was called %s there, and is %s here.", strings.TrimPrefix(sum.From, "app_"), strings.TrimPrefix(string(schema), "app_"))
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
