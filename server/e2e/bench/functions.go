package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"crema/server/base/cluster"
	"crema/server/base/pg"
	"crema/server/base/proc"
)

// language is an echo function in another language than Go, beside the one in Go and beside one in the runtime that Skygear
// had for the language.
type language struct {
	program, file, text string
	slower              time.Duration // the most that p50 may be above Go's
	old                 string        // the package of the old runtime
	times               float64       // the least ratio of the calls per second
}

var languages = []language{
	{
		"python3", "echo.py", "import skygear\n\n\n@skygear.op(\"NAME\")\ndef echo(message, count):\n    return {\"message\": message, \"count\": count}\n",
		250 * time.Microsecond, "py-skygear", 15,
	},
	{
		"node", "echo.js", "const {op} = require('skygear/cloud');\nop('NAME', ({args: {message, count}}) => ({message, count}));\n",
		150 * time.Microsecond, "skygear-node", 2,
	},
}

// coldText is loaded by every worker. Who is spent is replaced without a pause, whoever has died before.
const coldText = `import os
import skygear
import stripe


@skygear.op("cold_pid")
def pid(**_):
    return [os.getpid(), stripe.__name__]


@skygear.op("cold_spent")
def spent(**_):
    raise MemoryError("this worker is spent")
`

const coldStart = 40 * time.Millisecond

// prepareFunctions returns the cases of functions in Python and JavaScript, those of this machine's languages. The first one
// starts workers, and so comes before the pool has grown.
func (b *bench) prepareFunctions(ctx context.Context, o options) ([]benchCase, error) {
	here := slices.DeleteFunc(slices.Clone(languages), func(l language) bool {
		_, err := exec.LookPath(l.program)
		if err != nil {
			b.skip("there is no %s here", l.program)
		}
		return err != nil
	})
	root, err := filepath.Abs(o.root)
	if err != nil {
		return nil, err
	}
	clients := filepath.Join(root, "server/e2e/clients")
	env, err := b.startOld(here, clients)
	if err != nil {
		return nil, err
	}
	if err := writeFunctions(filepath.Join(b.dir, "lambdas"), here); err != nil {
		return nil, err
	}
	folder, err := b.pythonWithStripe(ctx, clients)
	if err != nil {
		return nil, err
	}
	env = append(env, "PATH="+folder+":"+os.Getenv("PATH"))
	if err := b.startServer(ctx, o.root, env...); err != nil {
		return nil, fmt.Errorf("the server: %w", err)
	}
	if err := b.askVersion(ctx); err != nil {
		return nil, err
	}
	var cases []benchCase
	for _, l := range here {
		cases = append(cases, l.beside(b.ours, "Go's echo", "echo", benchCase{slower: l.slower}))
		if slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, l.plugin()+"_PATH=") }) {
			cases = append(cases, l.beside(b.ours, l.old, "old_"+l.program, benchCase{bar: l.times, barFrom: 8}))
		}
	}
	for _, c := range cases {
		if err := b.awaitAnswers(ctx, c); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return append(b.coldCases(o), cases...), nil
}

// pythonWithStripe makes an environment with the packages of the test clients, for a Python that every user can run: for root
// the server chooses such a one. It returns the folder of its programs, which is not there when there is nothing to make it of.
func (b *bench) pythonWithStripe(ctx context.Context, clients string) (folder string, err error) {
	home := filepath.Join(b.dir, "python")
	packages, err := filepath.Glob(filepath.Join(clients, ".venv-new/lib/python*/site-packages"))
	python, missing := exec.LookPath("python3")
	if err != nil || missing != nil || len(packages) == 0 {
		return home, err
	}
	if proc.Unprivileged() != nil && !proc.Reachable(python, 0o001) {
		python = "/usr/bin/python3"
	}
	if out, err := exec.CommandContext(ctx, python, "-m", "venv", "--without-pip", home).CombinedOutput(); err != nil {
		return "", fmt.Errorf("an environment of Python: %w\n%s", err, out)
	}
	all, err := filepath.Glob(filepath.Join(home, "lib/python*/site-packages"))
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("the environment of %s has no place for packages: %w", python, err)
	}
	return filepath.Join(home, "bin"), os.CopyFS(all[0], os.DirFS(packages[0]))
}

// beside fills a case that compares the server with itself: our echo in the language with another one.
func (l language) beside(s *server, what, name string, c benchCase) benchCase {
	c.name = l.program + " beside " + what
	c.ours, c.floor = target{s, echoOf("our_"+l.program, 1), 1}, target{s, echoOf(name, 1), 1}
	return c
}

// awaitAnswers waits until both sides of a case give the same answer: plugins are asked what they have every two seconds.
func (b *bench) awaitAnswers(ctx context.Context, c benchCase) error {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(time.Minute); ; {
		err := c.check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// askVersion asks PostgreSQL's, for the table.
func (b *bench) askVersion(ctx context.Context) error {
	db, err := pg.Open(ctx, pg.Config{URL: b.url, Schema: "public", MaxConns: 1})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	return db.Get(ctx, &b.version, "SELECT current_setting('server_version')")
}

func (b *bench) skip(format string, args ...any) {
	b.skipped = append(b.skipped, fmt.Sprintf(format, args...))
}

func writeFunctions(dir string, all []language) error {
	errs := []error{os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "cold.py"), []byte(coldText), 0o644)}
	for _, l := range all {
		errs = append(errs, l.write(dir, l.file, "our_"))
	}
	return errors.Join(errs...)
}

func (l language) write(dir, file, prefix string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(strings.Replace(l.text, "NAME", prefix+l.program, 1)), 0o644)
}

// plugin is the name of the old runtime among PLUGINS.
func (l language) plugin() string { return "OLD" + strings.ToUpper(l.program) }

// startOld starts Skygear's own runtimes, as far as they are installed, and returns what the server needs to know of them.
func (b *bench) startOld(all []language, clients string) (env []string, err error) {
	var names []string
	for _, l := range all {
		cmd := l.oldRuntime(clients)
		if cmd == nil {
			b.skip("%s is not installed here: run `.ci/needs.sh clients`", l.old)
			continue
		}
		addr, err := freeAddress()
		if err != nil {
			return nil, err
		}
		s := &server{addr, cmd}
		b.more = append(b.more, s)
		if err := b.runOld(l, s); err != nil {
			return nil, fmt.Errorf("%s: %w", l.old, err)
		}
		names = append(names, l.plugin())
		env = append(env, l.plugin()+"_TRANSPORT=http", l.plugin()+"_PATH=http://"+addr)
	}
	if names != nil {
		env = append(env, "PLUGINS="+strings.Join(names, ","))
	}
	return env, nil
}

// oldRuntime is nil when the runtime is not installed. Wire: skygear §4.10 and §4.11.
func (l language) oldRuntime(clients string) *exec.Cmd {
	python, node := filepath.Join(clients, ".venv-plugin/bin/py-skygear"), filepath.Join(clients, "skygear/node_modules")
	cmd := exec.Command(python, "--http")
	cmd.Env = []string{"PYTHONPATH=" + filepath.Join(clients, "plugins/shims"), "PYTHONDONTWRITEBYTECODE=1"}
	if l.program == "node" {
		cmd = exec.Command("node", filepath.Join(node, "skygear/bin.js"))
		cmd.Env = []string{"NODE_PATH=" + node, "SERVE_STATIC_ASSETS=false"}
	}
	for _, name := range []string{cmd.Path, cmd.Args[1]} {
		if _, err := os.Stat(name); err != nil && filepath.IsAbs(name) {
			return nil
		}
	}
	return cmd
}

// runOld starts a runtime in a folder with its echo function, with the settings that it has by itself. Its log goes to a file,
// as the server's does.
func (b *bench) runOld(l language, s *server) error {
	dir := filepath.Join(b.dir, l.old)
	file := "__init__.py"
	if l.program == "node" {
		file = "index.js"
	}
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = l.write(dir, file, "old_")
	}
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(b.dir, l.old+".log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, log, log
	s.cmd.Env = append(s.cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+dir, "HTTP_ADDR=127.0.0.1:"+port, "APP_NAME=bench", "API_KEY="+apiKey, "MASTER_KEY="+masterKey,
		"DATABASE_URL="+strings.Replace(b.cluster.TCPURL(cluster.Database), "postgres://", "postgresql://", 1))
	return s.cmd.Start()
}

// coldCases measure the start of a Python worker with stripe imported, as a client sees it.
func (b *bench) coldCases(o options) []benchCase {
	if _, err := ask(b.ours.addr, echoOf("cold_pid", 0)); err != nil {
		b.skip("cold starts: the server's Python cannot import stripe, which `.ci/needs.sh clients` installs")
		return nil
	}
	return []benchCase{{
		name: "python3 cold start, stripe", latest: coldStart,
		run: func(ctx context.Context) (comparison, error) { return b.coldStarts(ctx, o.starts) },
	}}
}

// coldStarts has workers replaced, and measures from the call that ends one to the answer of the next. A call that a worker
// answers which is there already is the floor.
func (b *bench) coldStarts(ctx context.Context, n int) (m comparison, err error) {
	var cold, warm []time.Duration
	seen := map[string]bool{}
	for range n {
		begin := time.Now()
		if _, err := ask(b.ours.addr, echoOf("cold_spent", 0)); err == nil || !strings.Contains(err.Error(), "500") {
			return m, fmt.Errorf("a worker that is spent: %w", err)
		}
		first, err := ask(b.ours.addr, echoOf("cold_pid", 0))
		if err != nil {
			return m, err
		}
		cold = append(cold, time.Since(begin))
		if seen[first] {
			return m, fmt.Errorf("%s was answered by a worker that was there before", first)
		}
		seen[first] = true
		begin = time.Now()
		second, err := ask(b.ours.addr, echoOf("cold_pid", 0))
		if err != nil {
			return m, err
		}
		warm = append(warm, time.Since(begin))
		if second != first {
			return m, fmt.Errorf("%s and %s are two workers", first, second)
		}
	}
	m.ours, m.floor = single(cold), single(warm)
	m.ratio = m.ours.perSecond / m.floor.perSecond
	return m, ctx.Err()
}

// single sums up what happened one after the other.
func single(took []time.Duration) measurement {
	slices.Sort(took)
	p50 := took[len(took)/2]
	return measurement{perSecond: 1 / p50.Seconds(), p50: p50, p99: took[len(took)*99/100]}
}
