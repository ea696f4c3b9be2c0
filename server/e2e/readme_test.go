package e2e

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"crema/server/testkit"
)

var block = regexp.MustCompile("(?ms)^```(sh|go)\n(.*?)^```$")

// A newcomer copies the README's commands, in their order, in a fresh copy of the repository. Only the
// port is another one, and `make test`, which runs this test, is not run again.
func TestReadme_CommandsWork(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(testkit.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(readme), "\n"); n > 150 {
		t.Errorf("README.md has %d lines; at most 150 get read", n)
	}
	dir := freshCopy(t)
	port := freePort(t)
	commands := addFunction(t, dir, block.FindAllStringSubmatch(string(readme), -1))
	ran := 0
	for _, c := range commands {
		c = strings.ReplaceAll(c, "localhost:3000", "localhost:"+port)
		switch {
		case strings.Contains(c, "make run"):
			keepRunning(t, dir, c, port)
		case strings.Contains(c, "make test"):
			c = strings.ReplaceAll(c, "make test", "make --dry-run test")
			fallthrough
		default:
			out := shell(t, dir, c, port)
			if strings.Contains(out, `"error"`) || strings.TrimSpace(out) == "" && strings.Contains(c, "curl") {
				t.Errorf("%s\nanswers\n%s", c, out)
			}
		}
		ran++
	}
	if ran < 6 {
		t.Errorf("only %d command blocks were found", ran)
	}
	out := shell(t, dir, "curl -sS http://localhost:"+port+`/lambda/greet -d '{"name":"Ada"}' -H 'Content-Type: application/json'`, port)
	if !strings.Contains(out, "Hello Ada") {
		t.Errorf("the README's function answers %s", out)
	}
}

// addFunction puts the README's Go function into lambdas/ as it says, and returns the shell blocks.
func addFunction(t *testing.T, dir string, blocks [][]string) (commands []string) {
	t.Helper()
	for _, b := range blocks {
		if b[1] == "sh" {
			commands = append(commands, b[2])
			continue
		}
		list := filepath.Join(dir, "lambdas", "lambdas.go")
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		added := strings.Replace(string(text), "lambda.Op(", "lambda.Op(\"greet\", greet),\n\t\tlambda.Op(", 1)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "lambdas", "greet.go"), []byte(b[2]), 0o644),
			os.WriteFile(list, []byte(added), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return commands
}

func freshCopy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crema-copy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `git ls-files -co --exclude-standard -z | tar --null -T - -cf - | tar -xf - -C "$0"`, dir)
	cmd.Dir = testkit.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func command(dir, script, port string) *exec.Cmd {
	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOST=127.0.0.1:"+port, "PSQL_PAGER=")
	return cmd
}

func shell(t *testing.T, dir, script, port string) string {
	t.Helper()
	out, err := command(dir, script, port).CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return string(out)
}

// keepRunning starts `make run` as a terminal would and waits for its welcome.
func keepRunning(t *testing.T, dir, script, port string) {
	t.Helper()
	cmd := command(dir, script, port)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "is ready after") {
				close(ready)
			}
		}
		_ = cmd.Wait()
		ended <- all.String()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // Ctrl-C
		<-ended
	})
	select {
	case <-ready:
	case log := <-ended:
		ended <- log
		t.Fatalf("%s ended:\n%s", script, log)
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s is not ready", script)
	}
}
