package deploys_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"crema/server/base/proc"
	"crema/server/core/deploys"
	"crema/server/testkit"
)

// open is a folder that every user of the machine can reach.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crema-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// install deploys a function in JavaScript whose package.json runs a script of the shell.
func install(t *testing.T, dir, script string) deploys.Job {
	t.Helper()
	s, _ := start(t, testkit.DB(t), dir)
	return send(t, s, installing(t, script))
}

func installing(t *testing.T, script string) map[string]string {
	t.Helper()
	for _, name := range []string{"npm", "node"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is missing")
		}
	}
	text, err := json.Marshal(map[string]any{"name": "app", "version": "1.0.0", "scripts": map[string]string{"install": script}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"lambdas/a.js": "", "lambdas/package.json": string(text), "public_html/index.html": "shop"}
}

// What a package runs when it is installed can make the server write nowhere, and sees nothing of the functions.
func TestBuild_InstallersAreFencedOff(t *testing.T) {
	t.Parallel()
	nobody := proc.Unprivileged()
	if nobody == nil {
		t.Skip("needs root, where functions and installers run as two other users")
	}
	function, err := proc.Start(proc.Config{Path: "/bin/sleep", Args: []string{"1000"}, Account: nobody, Env: []string{"MASTER_KEY=quite-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { function.Kill(); <-function.Done() })
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := open(t)
	j := install(t, dir, fmt.Sprintf(`ln -sf %[1]s .complete; mkdir closed; touch closed/file; chmod 0 closed/file closed; id -u; cat /proc/%[2]d/environ; touch ../mine; umask`,
		precious, function.Pid()))
	if j.State != deploys.Success {
		t.Fatal(j.Log)
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("a file of the server's own: %q, %v", text, err)
	}
	if strings.Contains(j.Log, "quite-secret") || strings.Contains(j.Log, "\n  0\n") || !strings.Contains(j.Log, "\n  0022\n") {
		t.Error(j.Log)
	}
	found, err := filepath.Glob(filepath.Join(dir, "packages", "node-*", "closed", "file"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	if info, err := os.Stat(found[0]); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 || info.Mode() != 0o444 || !proc.Reachable(found[0], 0o004) {
		t.Errorf("installers may change %s, or functions not read it: %v, %v", found[0], info, err)
	}
	if found, err = filepath.Glob(filepath.Join(dir, "packages", "mine*")); err != nil || len(found) > 0 {
		t.Errorf("an installer has written beside its folder: %q, %v", found, err)
	}
}

func TestBuild_SaysThatItRunsAsRoot(t *testing.T) {
	t.Parallel()
	if proc.Installer() == nil {
		t.Skip("needs root")
	}
	if j := install(t, t.TempDir(), "id -u"); j.State != deploys.Success || !strings.Contains(j.Log, "warning: packages are installed as root") {
		t.Error(j.Log)
	}
	if j := install(t, open(t), "id -u"); j.State != deploys.Success || strings.Contains(j.Log, "as root") || strings.Contains(j.Log, "\n  0\n") {
		t.Error(j.Log)
	}
}

func TestBuild_TellsTheEndOfALongLog(t *testing.T) {
	t.Parallel()
	j := install(t, open(t), `yes $(head -c 1900 /dev/zero | tr '\0' x) | head -n 400; echo the reason >&2; exit 3`)
	if j.State != deploys.Failed || len(j.Log) > 300<<10 || !strings.Contains(j.Log, "the reason") || !strings.HasSuffix(j.Log, "as it was.\n") {
		t.Errorf("%s, %d bytes: %.200q ... %q", j.State, len(j.Log), j.Log, j.Log[max(0, len(j.Log)-1000):])
	}
}

// While packages are installed others can deploy and roll back, and what was begun first does not take their place.
func TestBuild_HoldsNobodyUp(t *testing.T) {
	t.Parallel()
	dir := open(t)
	s, st := start(t, testkit.DB(t), dir)
	goOn := filepath.Join(dir, "go-on")
	slow := begin(t, s, installing(t, "while [ ! -e "+goOn+" ]; do sleep 0.1; done"))
	eventually(t, func() bool {
		j, err := s.Job(t.Context(), slow, 0, 0)
		if err != nil || j.State != deploys.Running {
			t.Fatalf("%+v, %v", j, err)
		}
		return strings.Contains(j.Log, "installing")
	})
	for _, page := range []string{"first", "second"} {
		if j := send(t, s, map[string]string{"public_html/index.html": page}); j.State != deploys.Success {
			t.Fatalf("%+v", j)
		}
	}
	back, err := s.Rollback(t.Context(), "me@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	if j := wait(t, s, back); j.State != deploys.Success || !st.is("first")() {
		t.Errorf("%+v", j)
	}
	if err := os.WriteFile(goOn, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if j := wait(t, s, slow); j.State != deploys.Failed || !strings.Contains(j.Log, "begun later") || !st.is("first")() {
		t.Errorf("%+v", j)
	}
}

// Programs stand in for interpreters here: what counts is which one is taken.
func TestBuild_OldStripeGetsAnOldPython(t *testing.T) {
	dir := open(t)
	fake := func(name, version string) {
		t.Helper()
		text := "#!/bin/sh\n[ \"$1\" = --version ] && echo Python " + version + "\n[ \"$2\" = venv ] && mkdir -p $3/bin && cp $0 $3/bin/python\nexit 0\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fake("python3", "3.12.1")
	t.Setenv("PATH", dir+":/usr/bin:/bin") // so this test cannot run beside others
	s, _ := start(t, testkit.DB(t), open(t))
	says := func(wanted, what string) {
		t.Helper()
		j := send(t, s, map[string]string{"__init__.py": "", "requirements.txt": wanted, "public_html/index.html": "shop"})
		if j.State != deploys.Success || strings.Contains(j.Log, "stripe that") != (what != "") || !strings.Contains(j.Log, what) {
			t.Errorf("%s: %s", wanted, j.Log)
		}
	}
	fake("python3.11", "3.11.2")
	says("requests\nstripe==1.82.1\n", "Python 3.11.2 is used: Python 3.12.1 cannot")
	says("stripe==5.0.0\n", "")
	fake("python3", "3.13.0")
	for _, name := range []string{"python3.11", "python3.10", "python3.9", "python3.8"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	says("stripe~=1.82\n", "warning: Python 3.13.0 cannot")
}
