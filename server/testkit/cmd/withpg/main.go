// Command withpg runs a command with a throw-away PostgreSQL, which the command finds in
// CREMA_TEST_DATABASE_URL: withpg go test ./... When that is set already, nothing is started.
// The exit code is the command's; 1 also when PostgreSQL or the command does not start.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"crema/server/base/cluster"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
	}
	os.Exit(code)
}

// place is the folder for temporary things, unless its path is so long, as on macOS, that that of a socket in it would not fit.
func place() string {
	if dir := os.TempDir(); len(dir) < 40 {
		return dir
	}
	return "/tmp"
}

func run(args []string) (int, error) {
	if len(args) == 0 {
		return 1, fmt.Errorf("usage: withpg COMMAND [ARGUMENT ...]")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, os.Environ()
	if os.Getenv("CREMA_TEST_DATABASE_URL") == "" {
		dir, err := os.MkdirTemp(place(), "crema-pg-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		c, err := cluster.Start(context.Background(), cluster.Config{Dir: dir, Fast: true})
		if err != nil {
			return 1, err
		}
		defer c.Stop(context.Background())
		cmd.Env = append(cmd.Env, "CREMA_TEST_DATABASE_URL="+c.URL("postgres"))
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 1, fmt.Errorf("%s: %s", args[0], cmd.ProcessState)
}
