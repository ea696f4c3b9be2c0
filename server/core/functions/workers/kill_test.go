package workers

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"crema/server/base/fault"
)

func TestKill_UnderLoadEveryCallIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	each(t, Config{Workers: 2, Queue: 100, Wait: 20 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, p *Pool) {
		var done atomic.Bool
		var good, crashed atomic.Int64
		var all sync.WaitGroup
		const callers = 8
		for i := range callers {
			all.Go(func() {
				for n := 0; !done.Load(); n++ {
					want := fmt.Sprintf(`"%d-%d"`, i, n)
					got, err := within(t, p, 60*time.Second, "echo", `{"v":`+want+`}`)
					switch {
					case err == nil && strings.Contains(got, want):
						good.Add(1)
					case fault.Is(err, "workers.crashed") || fault.Is(err, "workers.down"):
						crashed.Add(1)
					default:
						t.Errorf("%s: %s, %v", want, got, err)
					}
				}
			})
		}
		var killed []int
		for range 5 {
			before := good.Load()
			waitFor(t, func() bool { return good.Load() > before+50 })
			for _, pid := range p.pids() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				killed = append(killed, pid)
			}
		}
		before := good.Load()
		waitFor(t, func() bool { return good.Load() > before+50 })
		done.Store(true)
		all.Wait()
		t.Logf("%d calls answered, %d failed with their worker", good.Load(), crashed.Load())
		if n := crashed.Load(); n > int64(callers*len(killed)) {
			t.Errorf("%d calls failed with %d workers, of %d callers that wait for each call; killed %v\n%s", n, len(killed), callers, killed, log.String())
		}
		waitFor(t, func() bool {
			return !slices.ContainsFunc(killed, func(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }) // no zombie
		})
		waitFor(t, p.rests)
	})
}

// A call that comes when a worker has died finds another one, whether the death is noticed already or not.
func TestKill_NoCallGoesToTheDead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the death of a process is seen in /proc")
	}
	each(t, Config{Workers: 2, Wait: 20 * time.Second}, func(t *testing.T, p *Pool) {
		for range 3 {
			for _, pid := range p.pids() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				waitFor(t, func() bool { return disconnected(pid) })
			}
			if _, err := within(t, p, 60*time.Second, "echo", `{"a":1}`); err != nil {
				t.Error(err)
			}
		}
		if _, err := p.Call(t.Context(), Op, "echo", []byte(`{"half":`), Caller{}); !fault.Is(err, "workers.bad_argument") {
			t.Error(err)
		}
		waitFor(t, p.rests)
	})
}

// disconnected says that a process has ended with all of its threads, so that its connections are closed.
func disconnected(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after) // from the state on; the 18th is the number of threads
	return err != nil || len(fields) > 17 && fields[0] == "Z" && fields[17] == "1"
}

// rests says that no call holds a place, neither in a worker nor in the queue.
func (p *Pool) rests() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		if w.busy > 0 || slices.ContainsFunc(w.lanes, func(l *lane) bool { return !l.free }) {
			return false
		}
	}
	return len(p.workers) > 0 && len(p.waiting) == 0
}

func (p *Pool) pids() (pids []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		pids = append(pids, w.process.pid)
	}
	return pids
}

func TestKill_TheParentOfWorkersComesBack(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python}, hostile[Python])
	f, ok := p.launcher.(*forker)
	if !ok {
		t.Fatal("Python workers are not forked")
	}
	f.launching.Lock()
	parent := f.parent
	f.launching.Unlock()
	parent.Kill()
	<-parent.Done()
	waitFor(t, func() bool { _, err := within(t, p, 60*time.Second, "echo", `{}`); return err == nil })
	f.launching.Lock()
	again := f.parent
	f.launching.Unlock()
	if again == parent {
		t.Error("the parent was not started again, and its workers have outlived it")
	}
}
