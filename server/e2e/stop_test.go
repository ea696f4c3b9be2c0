package e2e

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"crema/server/testkit"
)

// A database that accepts and says nothing keeps a server starting.
func TestServe_StoppedBeforeItIsReadyEndsWithZero(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	cmd := exec.Command(testkit.Binary(t), "serve")
	cmd.Dir = testkit.AppDir(t)
	cmd.Env = append(os.Environ(), "HOST=127.0.0.1:0", "DATABASE_URL=postgres://nobody@"+silent.Addr().String()+"/none?sslmode=disable")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it was asked to stop and ends with %v", err)
	}
}
