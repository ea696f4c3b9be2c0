package cli

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"crema/server/app"
	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/base/fault"
)

type psqlCommand struct {
	Args []string `arg:"" optional:"" help:"Arguments for psql, for example -At -c 'select 1'."`
}

// Run opens psql where the app's tables are found without a schema name. When the private cluster is
// not running, it runs for as long as psql does.
func (p psqlCommand) Run(env *environment) error {
	c, err := config.Read(".", os.LookupEnv)
	if err != nil {
		return err
	}
	dsn, program, release, err := env.database(c)
	if err != nil {
		return err
	}
	defer release()
	signal.Ignore(syscall.SIGINT) // Ctrl-C is psql's
	cmd := exec.Command(program, p.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, env.out, env.errs
	if cmd.Env, err = psqlEnv(os.Environ(), dsn, app.Schema(c)); err != nil {
		return err
	}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exitStatus(exit.ExitCode())
	case err != nil:
		return fault.Wrap(err, fault.NotConfigured, "cli.no_psql", "psql was not found; install PostgreSQL's client programs (make run does it)")
	}
	return nil
}

// database returns the URL, the psql to use, and what to do afterwards.
func (e *environment) database(c *config.Config) (dsn, program string, release func(), err error) {
	release = func() {}
	if dsn = c.DatabaseURL.Reveal(); dsn != "" {
		program = "psql"
		if _, err := exec.LookPath(program); err != nil {
			if b, err := cluster.FindBinaries(); err == nil {
				program = filepath.Join(b.Dir, "psql")
			}
		}
		return dsn, program, release, nil
	}
	if !cluster.Exists(c.DataDir) {
		return "", "", release, app.NoData(c)
	}
	dsn, bin, err := cluster.Attach(c.DataDir)
	if fault.Is(err, "cluster.not_running") {
		var cl *cluster.Cluster
		cl, err = cluster.Start(context.Background(), cluster.Config{Dir: c.DataDir})
		if err == nil {
			dsn, bin = cl.URL(cluster.Database), cl.Binaries().Dir
			release = func() { _ = cl.Stop(context.Background()) }
		}
	}
	return dsn, filepath.Join(bin, "psql"), release, err
}

// psqlEnv hands the connection over in the environment: a command line is public on most machines.
func psqlEnv(base []string, dsn, schema string) ([]string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, fault.New(fault.NotConfigured, "pg.bad_url", "DATABASE_URL must look like postgres://user:password@host:port/database")
	}
	q := u.Query()
	password, _ := u.User.Password()
	set := map[string]string{
		"PGHOST": cmp.Or(u.Hostname(), q.Get("host")), "PGPORT": cmp.Or(u.Port(), q.Get("port")),
		"PGUSER": cmp.Or(u.User.Username(), q.Get("user")), "PGPASSWORD": cmp.Or(password, q.Get("password")),
		"PGDATABASE": strings.TrimPrefix(u.Path, "/"), "PGSSLMODE": q.Get("sslmode"), "PGPASSFILE": q.Get("passfile"),
		"PGHOSTADDR": "", "PGSERVICE": "", "PGSERVICEFILE": "", // would win over the rest
		"PGSSLROOTCERT": q.Get("sslrootcert"), "PGSSLCERT": q.Get("sslcert"), "PGSSLKEY": q.Get("sslkey"),
		"PGOPTIONS": "-csearch_path=" + schema + ",public",
	}
	env := slices.DeleteFunc(slices.Clone(base), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, ours := set[name]
		return ours
	})
	for name, v := range set {
		if v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env, nil
}
