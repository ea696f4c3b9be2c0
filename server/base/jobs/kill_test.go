package jobs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"crema/server/base/jobs"
	"crema/server/base/pg"
	"crema/server/testkit"
)

// victimEnv makes this test binary a server that takes one job and never finishes it.
const victimEnv = "CREMA_TEST_JOBS_VICTIM"

// leaseOfTheDead is how long the job of a killed server waits. It is long enough for a busy machine to
// renew it in time.
const leaseOfTheDead = 6 * time.Second

func TestVictim(t *testing.T) {
	url := os.Getenv(victimEnv)
	if url == "" {
		t.Skip("it is started by the kill tests")
	}
	db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	q := queue(db, func(c *jobs.Config) { c.Lease = leaseOfTheDead })
	q.Handle("deadly", 2, func(context.Context, json.RawMessage) error {
		_, _ = os.Stdout.WriteString("began\n")
		select {} // until the kill
	})
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {}
}

// sacrifice starts a server, waits until it works on a job, and kills it.
func sacrifice(t *testing.T, db *pg.DB) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimEnv+"="+db.URL())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		began <- line
	}()
	line := receive(t, began)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if line != "began\n" {
		t.Fatalf("the victim said %q", line)
	}
}

func TestKill_AnotherServerTakesOver(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q := queue(db, func(c *jobs.Config) { c.Lease = leaseOfTheDead })
	enqueue(t, q, db, "deadly", "bean")
	sacrifice(t, db)
	if n := count(t, db); n != 1 {
		t.Fatalf("%d jobs after the kill", n)
	}
	done := make(chan string, 2)
	q.Handle("deadly", 2, func(_ context.Context, p json.RawMessage) error {
		done <- string(p)
		return nil
	})
	start(t, q)
	if p := receive(t, done); p != `"bean"` {
		t.Errorf("payload %s", p)
	}
	await(t, "an empty table", func() bool { return count(t, db) == 0 })
	if len(done) != 0 {
		t.Error("it ran twice")
	}
}

func TestKill_AJobThatKillsServersEnds(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q := queue(db, func(c *jobs.Config) { c.Lease = leaseOfTheDead })
	enqueue(t, q, db, "deadly", 1)
	sacrifice(t, db)
	sacrifice(t, db)
	q.Handle("deadly", 2, func(context.Context, json.RawMessage) error {
		t.Error("the third try ran")
		return nil
	})
	start(t, q)
	await(t, "a dead job", func() bool {
		dead, err := q.Dead(t.Context(), 1)
		return err == nil && len(dead) == 1 && dead[0].LastError == "jobs.died: the server died during the last try"
	})
}
