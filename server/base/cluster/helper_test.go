package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crema/server/base/cluster"
)

// helperEnv turns the test binary into a server on the data folder that it names; durableEnv makes
// that server sync to disk.
const (
	helperEnv  = "CREMA_CLUSTER_TEST_DIR"
	durableEnv = "CREMA_CLUSTER_TEST_DURABLE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		os.Exit(serve(dir))
	}
	os.Exit(m.Run())
}

// serve is the helper process: it prints its URL, or the error, and runs until SIGTERM.
func serve(dir string) int {
	c, err := cluster.Start(context.Background(), cluster.Config{Dir: dir, Fast: os.Getenv(durableEnv) == ""})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	signal.Ignore(syscall.SIGINT)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println(c.URL(cluster.Database))
	select {
	case <-stop:
	case <-c.Done():
		fmt.Println("error:", c.Err())
		return 1
	}
	if err := c.Stop(context.Background()); err != nil {
		return 1
	}
	return 0
}

// server is a helper process that serves dir.
type server struct {
	cmd *exec.Cmd
	url string // or "error: ..."
}

// startServer re-executes the test binary; tune may change the command.
func startServer(t *testing.T, dir string, tune func(*exec.Cmd)) *server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if tune != nil {
		tune(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	s.url = strings.TrimSpace(line)
	return s
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
}

// start runs a cluster in this process and stops it at the end of the test.
func start(t *testing.T, c cluster.Config) *cluster.Cluster {
	t.Helper()
	cl, err := cluster.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, cl) })
	return cl
}

func stop(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Fatalf("stop: %v", err)
	}
}

// query runs SQL with the real psql and returns its unaligned output.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	out, err := psql(t, url, sql, nil)
	if err != nil {
		t.Fatalf("psql %q: %v\n%s", sql, err, out)
	}
	return out
}

func psql(t *testing.T, url, sql string, tune func(*exec.Cmd)) (string, error) {
	t.Helper()
	bin, err := cluster.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin.Path("psql"), "-X", "-w", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql, url)
	if tune != nil {
		tune(cmd)
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// postmasterPID reads the pid of the postgres of a data folder.
func postmasterPID(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// snapshot lists every file below dir with its size and time, to prove that nothing was touched.
func snapshot(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			all = append(all, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// skipUnlessRoot: other users can be played only by root, as in CI's container.
func skipUnlessRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to act as another user")
	}
}
