package e2e_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/testkit"
)

// holdings are what a server has taken.
type holdings struct {
	deploys, rss, fds, threads, processes, files, disk, rows, tables int
}

// holdings measures a server that serves p. rss and disk are in KiB.
func (p *shop) holdings(s *testkit.Server) holdings {
	p.t.Helper()
	h := holdings{deploys: p.n}
	proc := filepath.Join("/proc", strconv.Itoa(s.Pid()))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "VmRSS:" {
			h.rss, _ = strconv.Atoi(string(f[1]))
		} else if len(f) > 1 && string(f[0]) == "Threads:" {
			h.threads, _ = strconv.Atoi(string(f[1]))
		}
	}
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		p.t.Fatal(err)
	}
	h.fds = len(fds)
	for _, n := range p.homes() {
		h.processes += n
	}
	for _, dir := range []string{p.home, p.temp} {
		if err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil // a worker tidies up
			}
			h.files++
			if info, err := e.Info(); err == nil {
				h.disk += int(info.Size()+1023) / 1024
			}
			return nil
		}); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.query(func(db *pg.DB) error {
		const rows = `SELECT (SELECT count(*) FROM app._deploy_blob) + (SELECT count(*) FROM app._deploy_part) + (SELECT count(*) FROM app._deploy_version)
			+ (SELECT count(*) FROM app._deploy_file) + (SELECT count(*) FROM app._deploy_release) + (SELECT count(*) FROM app._deploy_job)`
		const tables = `SELECT (sum(pg_total_relation_size(oid)) / 1024)::bigint FROM pg_class WHERE relname LIKE '\_deploy\_%' AND relkind = 'r'`
		for _, table := range []string{"blob", "part", "version", "file", "release", "job"} { // as PostgreSQL does by itself from time to time
			if _, err := db.Exec(p.t.Context(), "VACUUM app._deploy_"+table); err != nil {
				return err
			}
		}
		return cmp.Or(db.Get(p.t.Context(), &h.rows, rows), db.Get(p.t.Context(), &h.tables, tables))
	}); err != nil {
		p.t.Fatal(err)
	}
	return h
}

// The long run is `make chaos ARGS=deploys`, which makes 1,000 and writes the table of the docs.
func TestDeploy_ManyLeaveNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("what a process holds is seen in /proc")
	}
	count, long := 30, os.Getenv("CREMA_DEPLOYS")
	env := "GOGC=100" // without the room for the heap, which 30 deploys would only begin to fill
	p := newShop(t)
	if long != "" {
		var err error
		if count, err = strconv.Atoi(long); err != nil {
			t.Fatal(err)
		}
		env = "GOGC="
		write(t, p.dir, map[string]string{"lambdas/greet.py": "import skygear\n\n@skygear.op('greet')\ndef greet():\n    return 'hello'\n"})
	}
	s := p.start(env)
	var all []holdings
	begun := time.Now()
	for p.n < count {
		p.next(false)
		if (p.n+1)%(count/10) == 0 { // the next tidying finds things old enough
			if err := p.age(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.deploy(s); err != nil {
			t.Fatalf("deploy %d: %v\n%s", p.n, err, s.Log())
		}
		if n := p.live(s); n != p.n {
			t.Fatalf("version %d is live after deploy %d", n, p.n)
		}
		if p.n%(count/10) == 0 {
			all = append(all, p.rested(s))
		}
	}
	table := tableOf(all, time.Since(begun))
	t.Log("\n" + table)
	warm, last := all[len(all)/2], all[len(all)-1]
	if long != "" {
		warm = all[0]
	}
	grown := growth(warm, last)
	for limit := time.Now().Add(30 * time.Second); grown != nil && time.Now().Before(limit); { // what is only under way goes away
		grown = growth(warm, p.rested(s))
	}
	for _, what := range grown {
		t.Error(what)
	}
	if path := os.Getenv("CREMA_TABLE"); path != "" {
		if err := fillTable(path, table); err != nil {
			t.Fatal(err)
		}
	}
}

// growth is what there is more of than deploys may leave.
func growth(warm, last holdings) (grown []string) {
	for _, c := range []struct {
		what         string
		before, room int
		after        int
	}{
		{"KiB of memory", warm.rss, 16 << 10, last.rss},
		{"descriptors", warm.fds, 10, last.fds},
		{"threads", warm.threads, 8, last.threads},
		{"processes", warm.processes, 0, last.processes},
		{"files", warm.files, 20, last.files},
		{"rows", warm.rows, 60, last.rows},
		{"KiB of tables", warm.tables, 256, last.tables},
	} {
		if c.after > c.before+c.room {
			grown = append(grown, fmt.Sprintf("%s grew from %d to %d", c.what, c.before, c.after))
		}
	}
	return grown
}

// rested measures when the work of a deploy that goes on afterwards is done.
func (p *shop) rested(s *testkit.Server) (h holdings) {
	p.t.Helper()
	last := -1
	eventually(p.t, "the server rests", func() bool {
		h = p.holdings(s)
		same := h.processes == last && p.leftovers() == nil
		last = h.processes
		return same
	})
	return h
}

func tableOf(all []holdings, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores, %s/%s, %v with the measuring:\n\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, took.Round(time.Second))
	b.WriteString("| deploys | memory (MiB) | descriptors | threads | processes | files | on disk (KiB) | rows | tables (KiB) |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, h := range all {
		fmt.Fprintf(&b, "| %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", h.deploys, h.rss>>10, h.fds, h.threads, h.processes, h.files, h.disk, h.rows, h.tables)
	}
	return b.String()
}

// fillTable puts a table between the marks of a Markdown file.
func fillTable(path, table string) error {
	const start, end = "<!-- table -->\n", "<!-- end of table -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), start)
	_, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		return fmt.Errorf("%s lacks the marks of its table", path)
	}
	return os.WriteFile(path, []byte(before+start+table+end+after), 0o644)
}
