package proc_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/proc"
)

// TestMain lets the test binary be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "parent" {
		parent()
		return
	}
	os.Exit(m.Run())
}

// parent starts a child, tells its pid, and waits to be killed.
func parent() {
	p, err := proc.Start(proc.Config{Path: "/bin/sh", Args: []string{"-c", "sleep 1000 & wait"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Pid())
	<-p.Done()
}

// lines collects what a child prints.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(s proc.Stream, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(s)+": "+text)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

func start(t *testing.T, c proc.Config) *proc.Process {
	t.Helper()
	p, err := proc.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		<-p.Done()
	})
	return p
}

func await(t *testing.T, p *proc.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the child does not end")
	}
}

func TestStart_FramesGoBothWays(t *testing.T) {
	t.Parallel()
	p := start(t, proc.Config{Path: "/bin/sh", Args: []string{"-c", "cat <&3 >&3"}, Channels: 1}) // an echo of bytes
	for _, size := range []int{0, 1, 100, 1 << 20} {
		sent := proc.Frame{Type: 7, Flags: 1, ID: 1<<60 + uint64(size), Body: bytes.Repeat([]byte("x"), size)}
		failed := make(chan error, 1)
		go func() { failed <- p.Conn(0).Write(sent, time.Time{}) }()
		got, err := p.Conn(0).Read()
		if err := errors.Join(err, <-failed); err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			sent.Body = nil
		}
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Fatal(diff)
		}
	}
	if err := p.Conn(0).Write(proc.Frame{Body: make([]byte, proc.MaxFrame+1)}, time.Time{}); !fault.Is(err, "proc.frame_too_large") {
		t.Errorf("a frame over the limit: %v", err)
	}
	p.Kill()
	if _, err := p.Conn(0).Read(); err == nil {
		t.Error("a dead child still sends frames")
	}
}

func TestConn_RefusesWhatCannotBeAFrame(t *testing.T) {
	t.Parallel()
	p := start(t, proc.Config{Path: "/bin/sh", Args: []string{"-c", `printf '\377\377\377\377aaaaaaaaaa' >&3; sleep 1000`}, Channels: 1})
	if _, err := p.Conn(0).Read(); !fault.Is(err, "proc.bad_frame") {
		t.Errorf("a frame of 4 GiB: %v", err)
	}
}

func TestConn_WriteEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	p := start(t, proc.Config{Path: "/bin/sleep", Args: []string{"1000"}, Channels: 1})
	err := p.Conn(0).Write(proc.Frame{Body: make([]byte, proc.MaxFrame)}, time.Now().Add(20*time.Millisecond))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing to a child that does not read: %v", err)
	}
}

func TestConn_TellsHowManyFramesArrivedWhole(t *testing.T) {
	t.Parallel()
	ours, theirs, err := proc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	var frames []proc.Frame
	for id := range uint64(300) {
		frames = append(frames, proc.Frame{Type: 1, ID: id, Body: make([]byte, []int{0, 10, 5000, 70 << 10}[id%4])})
	}
	sent, err := ours.WriteAll(frames, time.Now().Add(20*time.Millisecond))
	if !errors.Is(err, os.ErrDeadlineExceeded) || sent == 0 || sent >= len(frames) {
		t.Fatalf("%d frames to nobody: %v", sent, err)
	}
	_ = ours.Close()
	got, err := io.ReadAll(theirs)
	_ = theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for ; whole < len(frames) && len(got) >= 14+len(frames[whole].Body); whole++ {
		got = got[14+len(frames[whole].Body):]
	}
	if whole != sent {
		t.Errorf("%d frames arrived, %d were counted", whole, sent)
	}
}

func TestStart_CleanEnvironmentAndLimits(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("limits of children are set on Linux only")
	}
	var out lines
	p := start(t, proc.Config{
		Path: "/bin/sh", Line: out.add, Channels: 2, Env: []string{"A=1"}, Dir: "/usr",
		Args:   []string{"-c", "read go <&3; ulimit -n; ulimit -c; ulimit -f; ulimit -d; grep NoNewPrivs /proc/self/status; env; ls /proc/self/fd | wc -l"},
		Limits: proc.Limits{Files: 64, FileSize: 1 << 20, Memory: 1 << 30, Reserve: 1 << 20},
	})
	if err := p.Conn(0).Write(proc.Frame{Body: []byte("\n")}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	await(t, p)
	want := []string{"64", "0", "2048", strconv.Itoa((1<<30 + 1<<20) / 1024), "NoNewPrivs:\t1"}
	for i, line := range want {
		if got := strings.TrimPrefix(out.all[i], "stdout: "); got != line {
			t.Errorf("line %d is %q, want %q", i, got, line)
		}
	}
	for _, line := range out.all[len(want):] {
		name, _, found := strings.Cut(strings.TrimPrefix(line, "stdout: "), "=")
		if found && name != "A" && name != "PWD" && name != "OLDPWD" && name != "SHLVL" && name != "_" { // the shell's own
			t.Errorf("the child inherits %s", name)
		}
	}
}

func TestStart_AccountCannotForkWithoutEnd(t *testing.T) {
	t.Parallel()
	account := proc.Unprivileged()
	if runtime.GOOS != "linux" || account == nil {
		t.Skip("needs root on Linux, where children run as nobody")
	}
	var out lines
	p := start(t, proc.Config{
		Path: "/bin/sh", Account: account, Line: out.add, Channels: 1, Limits: proc.Limits{Processes: 20},
		Args: []string{"-c", "read go <&3; id -u; i=0; while [ $i -lt 3000 ]; do sleep 1000 & i=$((i+1)); done"},
	})
	if err := p.Conn(0).Write(proc.Frame{Body: []byte("\n")}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	await(t, p)
	if got := out.text(); !strings.Contains(got, "fork") || strings.Contains(got, "stdout: 0") {
		t.Errorf("3000 children with a limit of 20 printed %q, ended %s", got, p.Ended())
	}
}

func TestKill_EndsTheGroup(t *testing.T) {
	t.Parallel()
	pids := make(chan string, 1)
	p := start(t, proc.Config{
		Path: "/bin/sh", Args: []string{"-c", "sleep 1000 & echo $!; wait"},
		Line: func(_ proc.Stream, text string) { pids <- text },
	})
	grandchild := <-pids
	p.Kill()
	await(t, p)
	if !strings.Contains(p.Ended(), "killed") {
		t.Errorf("ended: %s", p.Ended())
	}
	gone(t, grandchild)
	p.Kill() // once more is harmless
}

func TestProcess_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("a group can outlive its leader here")
	}
	pids := make(chan string, 1)
	p := start(t, proc.Config{
		Path: "/bin/sh", Args: []string{"-c", "sleep 1000 & echo $!"},
		Line: func(_ proc.Stream, text string) { pids <- text },
	})
	grandchild := <-pids
	await(t, p)
	gone(t, grandchild)
}

// gone waits until a process is dead; one that nobody has waited for counts as dead.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if syscall.Kill(n, 0) != nil || err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s still runs", pid)
		}
	}
}

func TestStart_DiesWithUs(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the kernel kills children on Linux only")
	}
	cmd := exec.Command(os.Args[0], "parent")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var pid string
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, pid)
}

func TestStart_UnknownProgram(t *testing.T) {
	t.Parallel()
	_, err := proc.Start(proc.Config{Path: "/no/such/program", Channels: 1})
	if !fault.Is(err, "proc.not_started") {
		t.Error(err)
	}
}

func TestOutput_LinesAndLast(t *testing.T) {
	t.Parallel()
	var out lines
	p := start(t, proc.Config{
		Path: "/bin/sh", Line: out.add,
		Args: []string{"-c", "head -c 200000 /dev/zero | tr '\\0' a; echo; echo next; echo to stderr >&2; printf 'no end' >&2; exit 3"},
	})
	await(t, p)
	long := "stdout: " + strings.Repeat("a", 64<<10)
	if text := out.text(); !strings.HasPrefix(text, long+"\n") && !strings.Contains(text, "\n"+long+"\n") {
		t.Errorf("a line of 200,000 bytes is not cut at 64 KiB: %.80q...", text)
	}
	for _, want := range []string{"stdout: next", "stderr: to stderr", "stderr: no end"} {
		if !strings.Contains(out.text(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if got := p.Last(); got != "to stderr\nno end" {
		t.Errorf("the last lines are %q", got)
	}
	if got := p.Ended(); got != "exit status 3" {
		t.Errorf("ended: %s", got)
	}
}

func TestOutput_FloodIsCountedNotKept(t *testing.T) {
	t.Parallel()
	var out lines
	p := start(t, proc.Config{Path: "/bin/sh", Line: out.add, Args: []string{"-c", "yes spam | head -n 200000; yes | head -c 300000 >&2"}})
	await(t, p)
	if n := strings.Count(out.text(), "\n"); n > 50_000 {
		t.Errorf("%d of 350,000 lines were kept", n)
	}
	if n := len(p.Last()); n > 8<<10 {
		t.Errorf("the last lines have %d bytes", n)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	var b proc.Backoff
	last := time.Duration(0)
	for range 20 {
		last = b.Failed()
	}
	if last < 15*time.Second || last > 30*time.Second {
		t.Errorf("after 20 failures the pause is %v", last)
	}
	b.Well()
	if d := b.Failed(); d != 0 {
		t.Errorf("a child that was well is started again after %v", d)
	}
	if d := b.Failed(); d < 50*time.Millisecond || d > 100*time.Millisecond {
		t.Errorf("the pause after the second failure is %v", d)
	}
}

func TestPair_FilesTravel(t *testing.T) {
	t.Parallel()
	ours, theirs, err := proc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ours.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ours.WriteFiles(proc.Frame{Type: 1, Body: []byte("here")}, time.Time{}, w); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	buf, control := make([]byte, 64), make([]byte, 64)
	n, cn, _, _, err := syscall.Recvmsg(int(theirs.Fd()), buf, control, 0)
	if err != nil || n != 18 {
		t.Fatalf("%d bytes: %v", n, err)
	}
	messages, err := syscall.ParseSocketControlMessage(control[:cn])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	passed := os.NewFile(uintptr(fds[0]), "passed")
	_, _ = passed.WriteString("through")
	_ = passed.Close()
	if got, err := io.ReadAll(r); string(got) != "through" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
