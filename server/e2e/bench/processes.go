package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"crema/lambdas"
	"crema/server/base/cluster"
	"crema/server/cli"
)

// roleVariable tells a copy of this program what to be.
const (
	roleVariable    = "CREMA_BENCH_ROLE"
	profileVariable = "CREMA_BENCH_PROFILE"
)

// profileSignal starts a profile, and ends it together with its process.
const profileSignal = syscall.SIGUSR1

// childOf returns what a copy of this program does in a role, nil for none.
func childOf(role string) func() int {
	switch role {
	case "floor":
		return profiled(runFloor)
	case "payfloor":
		return profiled(runPayFloor)
	case "sandbox":
		return runSandbox
	case "sockets":
		return profiled(runBareHub)
	case "server": // only to be profiled: what is measured is the binary that ships
		return profiled(func() int { return cli.Main([]string{"serve"}, lambdas.All()) })
	}
	return nil
}

// profiled writes a CPU profile of main where one is asked for, from the first profileSignal to the
// second, which ends the process.
func profiled(main func() int) func() int {
	path := os.Getenv(profileVariable)
	if path == "" {
		return main
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, profileSignal)
	go func() {
		<-signals
		f, err := os.Create(path)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		<-signals
		pprof.StopCPUProfile()
		if err := errors.Join(err, f.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "profile:", err)
		}
		os.Exit(0)
	}()
	return main
}

// bench is everything that runs for the measuring.
type bench struct {
	ours, floor *server
	more        []*server                   // that have to be stopped
	finish      func(context.Context) error // looks at what was measured
	skipped     []string                    // what this machine cannot measure, and why
	url         string                      // of the database
	version     string                      // of PostgreSQL
	known       string                      // the key of a record
	dir         string
	cluster     *cluster.Cluster
	profile     string
	binary      string // of the server; "": it has to be built
}

// server is one of the two processes under load.
type server struct {
	addr string
	cmd  *exec.Cmd
}

// appJSON lets all sockets come from this machine.
const appJSON = `{"name":"bench","pubsub":{"sockets_per_address":100000}}`

// start makes the database and both servers. What it returns has to be stopped in any case.
func start(ctx context.Context, o options) (*bench, error) {
	b := &bench{profile: o.profile, binary: o.binary}
	var err error
	if b.dir, err = os.MkdirTemp("/tmp", "crema-bench-"); err != nil { // a short path, for the sake of the socket
		return b, err
	}
	site := filepath.Join(b.dir, "public_html")
	if err := errors.Join(os.Chmod(b.dir, 0o755), os.Mkdir(site, 0o755), writeSite(site),
		os.WriteFile(filepath.Join(b.dir, "app.json"), []byte(appJSON), 0o644)); err != nil {
		return b, err
	}
	if b.cluster, err = cluster.Start(ctx, cluster.Config{Dir: filepath.Join(b.dir, "pg")}); err != nil {
		return b, err
	}
	b.url = b.cluster.URL(cluster.Database)
	return b, nil
}

func (b *bench) startServer(ctx context.Context, root string, more ...string) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	binary, err := b.build(ctx, root)
	if err != nil {
		return err
	}
	env := []string{"DATABASE_URL=" + b.url, "HOST=" + addr, "API_KEY=" + apiKey, "MASTER_KEY=" + masterKey, "APP_NAME=bench"}
	cmd := exec.Command(binary, "serve")
	if b.profile != "" {
		if cmd, err = b.self("server"); err != nil {
			return err
		}
	}
	b.ours = &server{addr, cmd}
	return b.launch(ctx, "server", b.ours, append(env, more...))
}

func (b *bench) build(ctx context.Context, root string) (string, error) {
	if b.binary != "" {
		return b.binary, nil
	}
	binary := filepath.Join(b.dir, "crema")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./server")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// startFloor needs the tables that the server makes.
func (b *bench) startFloor(ctx context.Context, more ...string) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	cmd, err := b.self("floor")
	if err != nil {
		return err
	}
	env := []string{"DATABASE_URL=" + b.url, addrVariable + "=" + addr, siteVariable + "=" + filepath.Join(b.dir, "public_html")}
	b.floor = &server{addr, cmd}
	return b.launch(ctx, "floor", b.floor, append(env, more...))
}

func (b *bench) self(role string) (*exec.Cmd, error) {
	path, err := os.Executable()
	cmd := exec.Command(path)
	cmd.Env = []string{roleVariable + "=" + role}
	if b.profile != "" {
		folder, err := filepath.Abs(b.profile)
		if err != nil {
			return nil, err
		}
		cmd.Env = append(cmd.Env, profileVariable+"="+filepath.Join(folder, role+".pprof"))
	}
	return cmd, err
}

// launch starts a process whose output goes to a file, and waits until it answers.
func (b *bench) launch(ctx context.Context, name string, s *server, env []string) error {
	log, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = b.dir, log, log
	s.cmd.Env = append(append(s.cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME")), env...)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	health := newRequest("GET", "/healthz", "", "", "", nil)
	wait := time.NewTicker(20 * time.Millisecond)
	defer wait.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
		if _, err = ask(s.addr, health); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s does not answer: %w\n%s", name, err, text)
		}
	}
}

// cpu returns the CPU time that the process has taken so far, where Linux tells.
func (s *server) cpu() time.Duration {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // the unit of this file on every Linux
	return time.Duration(user+system) * tick
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startProfiles is called when everything is prepared.
func (b *bench) startProfiles() error {
	if b.profile == "" {
		return nil
	}
	err := b.ours.cmd.Process.Signal(profileSignal)
	if b.floor != nil {
		err = errors.Join(err, b.floor.cmd.Process.Signal(profileSignal))
	}
	return err
}

// end stops the process, if it runs still.
func (s *server) end(with os.Signal) {
	if s == nil || s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(with)
	_ = s.cmd.Wait()
}

// stop ends whatever was started and removes the folder.
func (b *bench) stop() {
	end := os.Signal(syscall.SIGTERM)
	if b.profile != "" {
		end = profileSignal
	}
	for _, s := range []*server{b.ours, b.floor} {
		s.end(end)
	}
	for _, s := range b.more { // they know nothing of profiles
		s.end(syscall.SIGTERM)
	}
	if b.cluster != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = b.cluster.Stop(ctx)
	}
	_ = os.RemoveAll(b.dir)
}
