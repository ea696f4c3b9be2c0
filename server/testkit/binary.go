package testkit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Root returns the top folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// binary is the server, built once for all tests of this process; raced is the same with the race
// detector, built like the tests themselves, so that they share what is compiled.
var (
	binary = sync.OnceValues(func() (string, error) { return build("-trimpath") })
	raced  = sync.OnceValues(func() (string, error) { return build("-race") })
)

func build(flag string) (string, error) {
	dir, err := scratch("bin")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "crema")
	cmd := exec.Command("go", "build", flag, "-o", path, "./server")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// Binary returns the path of the built server.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// AppDir makes a folder with this repository's app.json and site, and room for data. Every user of the
// machine may enter it: the private PostgreSQL of a server that runs as root is another user's.
func AppDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crema-app-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	app, err := os.ReadFile(filepath.Join(Root(), "app.json"))
	if err := errors.Join(err,
		os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "app.json"), app, 0o644),
		os.Symlink(filepath.Join(Root(), "public_html"), filepath.Join(dir, "public_html")),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Server is a running server process.
type Server struct {
	URL       string
	Dir       string // its working folder
	APIKey    string
	MasterKey string
	cmd       *exec.Cmd
	exited    chan struct{}
	mu        sync.Mutex
	log       strings.Builder
}

// StartServer runs `crema serve` in dir on a free port with more environment ("NAME=value") and returns
// once it serves its first page. It is stopped when the test ends.
func StartServer(t testing.TB, dir string, env ...string) *Server {
	t.Helper()
	return start(t, Binary(t), dir, "serve", env)
}

// StartDev is StartServer for `crema dev`.
func StartDev(t testing.TB, dir string, env ...string) *Server {
	t.Helper()
	return start(t, Binary(t), dir, "dev", env)
}

// StartRaced is StartServer with the race detector. A race ends up in the log, as DATA RACE, and makes the
// exit code 66.
func StartRaced(t testing.TB, dir string, env ...string) *Server {
	t.Helper()
	path, err := raced()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, path, dir, "serve", env)
}

func start(t testing.TB, path, dir, command string, env []string) *Server {
	t.Helper()
	s := &Server{Dir: dir, APIKey: "test-api-key", MasterKey: "test-master-key", exited: make(chan struct{})}
	s.cmd = exec.Command(path, command)
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), "HOST=127.0.0.1:0", "LOG_FORMAT=json", "API_KEY="+s.APIKey, "MASTER_KEY="+s.MasterKey)
	s.cmd.Env = append(s.cmd.Env, env...)
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go s.read(bufio.NewScanner(errs), ready)
	t.Cleanup(func() { s.Stop(t) })
	select {
	case s.URL = <-ready:
	case <-s.exited:
		t.Fatalf("the server ended at once:\n%s", s.Log())
	case <-time.After(60 * time.Second):
		t.Fatalf("the server is not ready after 60 s:\n%s", s.Log())
	}
	return s
}

func (s *Server) read(lines *bufio.Scanner, ready chan<- string) {
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		var entry struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "ready" {
			ready <- entry.URL
		}
	}
	_ = s.cmd.Wait()
	close(s.exited)
}

// Log returns what the server has written to stderr so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Pid is the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Kill ends the server without any warning.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// Exited is closed when the server has ended, whoever has ended it.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Signal sends a signal and returns the exit code.
func (s *Server) Signal(t testing.TB, sig syscall.Signal) int {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		t.Errorf("the server does not stop:\n%s", s.Log())
		s.Kill()
	}
	return s.cmd.ProcessState.ExitCode()
}

// Stop asks the server to end, if it still runs.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	select {
	case <-s.exited:
	default:
		s.Signal(t, syscall.SIGTERM)
	}
}

// Run runs another command of the binary where the server runs, with its environment.
func (s *Server) Run(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Dir, cmd.Env = s.Dir, s.cmd.Env
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Run runs a command of the binary in dir with more environment and returns its output and exit code.
func Run(t testing.TB, dir string, env []string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
