package workers

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"crema/server/base/proc"
)

// A call that a worker has got is never given to another one, and one that it cannot have got always is, wherever in a batch of
// calls the worker dies.
func TestLane_CallsOfADyingWorkerEndOnce(t *testing.T) {
	t.Parallel()
	for dies := range 50 {
		ours, theirs, err := proc.Pair()
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		close(gone)
		p := &Pool{c: Config{Language: JavaScript, Slots: 100, Log: slog.New(slog.DiscardHandler)}, closed: true}
		w := newWorker(p, 1, process{
			conns: []*proc.Conn{ours}, done: gone, kill: func() { _ = ours.Close() },
			ended: func() string { return "" }, last: func() string { return "" },
		})
		got := make(chan map[uint64]bool, 1)
		go func() { got <- framesOf(theirs, dies) }()
		read := make(chan struct{})
		go func() { defer close(read); w.lanes[0].read() }()

		large, _ := json.Marshal(strings.Repeat("x", 20000*(dies%2))) // so that a batch does not fit the socket
		var begun map[uint64]bool
		if dies == 0 { // it is dead before the first call
			begun = <-got
		}
		var mu sync.Mutex
		again := map[uint64]bool{}
		var calls sync.WaitGroup
		for id := range uint64(50) {
			calls.Go(func() {
				c := &call{id: id, ctx: t.Context(), lane: w.lanes[0], done: make(chan reply, 2)}
				if err := w.lanes[0].send(c, invocation{Kind: Op, Name: "x", Param: large}); err != nil {
					t.Error(err)
					return
				}
				r := <-c.done
				if r.again == (r.err != nil) || len(c.done) > 0 {
					t.Errorf("%+v, and %d more", r, len(c.done))
				}
				mu.Lock()
				defer mu.Unlock()
				again[id] = r.again
			})
		}
		calls.Wait()
		<-read
		if dies > 0 {
			begun = <-got
		}
		for id, goesOn := range again {
			if goesOn && begun[id] || !goesOn && dies == 0 {
				t.Errorf("dies after %d: call %d has begun: %v, and is sent to another worker: %v", dies, id, begun[id], goesOn)
			}
		}
		if len(w.lanes[0].calls) > 0 {
			t.Errorf("%d calls are left", len(w.lanes[0].calls))
		}
	}
}

// framesOf reads so many frames and closes the connection.
func framesOf(f *os.File, n int) map[uint64]bool {
	defer f.Close() //nolint:errcheck // it is the worker's death
	ids := map[uint64]bool{}
	for range n {
		var head [14]byte
		if _, err := io.ReadFull(f, head[:]); err != nil {
			return ids
		}
		ids[binary.BigEndian.Uint64(head[6:])] = true
		if _, err := io.CopyN(io.Discard, f, int64(binary.BigEndian.Uint32(head[:]))); err != nil {
			return ids
		}
	}
	return ids
}
