// Command mutations breaks each promise of the payments once and sees whether the tests notice:
// go run ./server/e2e/mutations
//
// It works in a copy of the repository. Each sabotage is a textual patch; when its text is no longer in
// the source exactly once, the program fails, so that a sabotage cannot get lost. A sabotage is caught
// when a test fails, and survives when all of them pass; then the program fails too. Set
// CREMA_TEST_DATABASE_URL, as `make mutations` does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// errSurvived says that some sabotage was not noticed.
var errSurvived = errors.New("a sabotage survived; write the test that catches it")

func main() {
	root := flag.String("root", ".", "top folder of the repository")
	only := flag.String("only", "", "the sabotages with this in their names")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *root, *only, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutations:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root, only string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "crema-mutations-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := copyTree(root, dir); err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	say("| %-52s | %-8s | %7s | %s |", "sabotage", "result", "time", "by")
	say("|---|---|---:|---|")
	var survived error
	for _, s := range sabotages() {
		if !strings.Contains(s.name, only) {
			continue
		}
		start := time.Now()
		by, err := s.try(ctx, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		result := "caught"
		if by == "" {
			result, survived = "SURVIVED", errSurvived
		}
		say("| %-52s | %-8s | %5.0f s | %s |", s.name, result, time.Since(start).Seconds(), by)
	}
	return survived
}

// try applies the sabotage, runs its tests until one fails, and takes the sabotage back. It returns the
// tests that failed, "" for none.
func (s sabotage) try(ctx context.Context, dir string) (by string, err error) {
	before := map[string][]byte{}
	defer func() {
		for file, text := range before {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, file), text, 0o644))
		}
	}()
	for _, p := range s.patches {
		path := filepath.Join(dir, p.file)
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if _, known := before[p.file]; !known {
			before[p.file] = text
		}
		changed, err := p.apply(string(text))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			return "", err
		}
	}
	if text, err := goRun(ctx, dir, "vet", "./server/core/payments/...", "./server/app"); err != nil {
		return "", fmt.Errorf("it does not compile: %s", text)
	}
	for _, packages := range s.suites() {
		text, err := goRun(ctx, dir, "test", "-count=1", "-failfast", "-timeout=5m", packages)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return failures(packages, text), nil
		}
	}
	return "", nil
}

// suites are tried in turn, the quick one first.
func (s sabotage) suites() []string {
	return []string{"./server/core/payments/...", "./server/e2e/chaos"}
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)|(VIOLATED I\d)`)

func failures(packages, text string) string {
	var names []string
	for _, m := range failedTest.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1]+m[2])
	}
	if len(names) == 0 {
		return packages + ": " + strings.ReplaceAll(text[max(0, len(text)-200):], "\n", " ")
	}
	if len(names) > 3 {
		names = append(names[:3], fmt.Sprintf("and %d more", len(names)-3))
	}
	return strings.Join(names, ", ")
}

func goRun(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// copyTree copies what the tests need: no history, no built things, no data.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch d.Name() {
		case ".git", ".crema", "node_modules", ".env":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular() || name == "crema":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, 0o644)
	})
}
