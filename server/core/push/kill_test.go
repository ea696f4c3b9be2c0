package push_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/core/pubsub"
	"crema/server/testkit"
)

// victimEnv makes this test binary a server that is killed while notices are on their way: after "n" of
// them, inside their transaction.
const victimEnv = "CREMA_TEST_PUSH_VICTIM"

const killAfter = 25

func TestVictim(t *testing.T) {
	url := os.Getenv(victimEnv)
	if url == "" {
		t.Skip("it is started by the kill test")
	}
	db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	room := pubsub.New(pubsub.Config{DB: db})
	if err := room.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := 0
	w := newWorldPublishing(t, db, func(ctx context.Context, tx *pg.Tx, channel string, data json.RawMessage) error {
		if sent++; sent > killAfter {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return room.PublishIn(ctx, tx, pubsub.Internal, channel, data)
	})
	w.start()
	_, _ = os.Stdout.WriteString("started\n")
	select {}
}

func TestKill_NoNoticeIsLostOrRepeated(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	room := pubsub.New(pubsub.Config{DB: db})
	if err := room.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { room.Stop(context.Background()) })
	w := newWorldPublishing(t, db, func(ctx context.Context, tx *pg.Tx, channel string, data json.RawMessage) error {
		return room.PublishIn(ctx, tx, pubsub.Internal, channel, data)
	})
	ann := w.device("ann")
	w.subscribe(w.as("ann"), "", ann, "s", `"record_type":"note"`)
	listener := room.Join(pubsub.Internal)
	defer listener.Leave(nil)
	if err := listener.Subscribe("_sub_" + ann); err != nil {
		t.Fatal(err)
	}
	const n = 60
	for i := range n {
		w.save(w.as("ann"), "", fmt.Sprintf(`{"_id":"note/%d"}`, i))
	}
	sacrifice(t, db) // it has published, and has not committed
	for i := range n {
		w.save(w.as("ann"), "", fmt.Sprintf(`{"_id":"note/%d","again":true}`, i))
	}
	w.start()
	seen := map[int64]int{}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for got := 0; got < 2*n; {
		texts, err := listener.Next(ctx)
		if err != nil {
			t.Fatalf("%d of %d notices came: %v", got, 2*n, err)
		}
		for _, text := range texts {
			var m struct {
				Data struct {
					Seq int64  `json:"seq-num"`
					ID  string `json:"subscription-id"`
				}
			}
			if err := json.Unmarshal(text, &m); err != nil || m.Data.ID != "s" {
				t.Fatalf("%s: %v", text, err)
			}
			seen[m.Data.Seq]++
			got++
		}
	}
	if len(seen) != 2*n {
		t.Errorf("%d different changes, want %d", len(seen), 2*n)
	}
}

// sacrifice runs the victim until it is dead.
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
	line, _ := bufio.NewReader(out).ReadString('\n')
	late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || line != "started\n" {
		t.Fatalf("the victim said %q and ended with %v", line, cmd.ProcessState)
	}
}
