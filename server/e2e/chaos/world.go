package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"crema/server/base/cluster"
	"crema/server/base/pg"
	"crema/server/core/payments"
)

// The shop under test. Its sandbox derives its keys from the master key, as the server does.
const (
	appName      = "chaos"
	schema       = "app_" + appName
	apiKey       = "chaos-api-key"
	masterKey    = "chaos-master-key-0123456789"
	providerName = "provider" // the sandbox's own database
)

func derive(purpose string) string {
	mac := hmac.New(sha256.New, []byte(masterKey))
	mac.Write([]byte("crema " + purpose))
	return hex.EncodeToString(mac.Sum(nil))[:32]
}

// world is everything that runs.
type world struct {
	o        options
	dir      string
	binary   string
	database *cluster.Cluster
	url      string  // of the shop's database
	db       *pg.DB  // the shop's
	provider *pg.DB  // the sandbox's
	sandbox  *child  // a process of its own
	server   *keeper // restarts the server whenever it dies
	refunds  *payments.Service
	shop     string // http://host:port
	stripe   string // of the sandbox
	client   *http.Client
	history  *history
	over     func() bool // the time for shopping has passed
	faults   counter     // what went wrong, by name
	replies  patterns
	prices   map[string]int64 // of products by id
	names    map[string]string
}

// counter counts by name.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
}

// openWorld starts all but the shoppers. What it returns has to be closed in any case.
func openWorld(ctx context.Context, o options) (*world, error) {
	w := &world{o: o, history: &history{}, client: newClient()}
	var err error
	if w.dir, err = os.MkdirTemp("/tmp", "crema-chaos-"); err != nil { // a short path, for the sake of the socket
		return w, err
	}
	if err := errors.Join(os.Chmod(w.dir, 0o755), os.Mkdir(filepath.Join(w.dir, "public_html"), 0o755),
		os.WriteFile(filepath.Join(w.dir, "app.json"), []byte(`{"name":"`+appName+`"}`), 0o644)); err != nil {
		return w, err
	}
	for _, step := range []func(context.Context) error{w.build, w.startDatabase, w.startSandbox, w.startServer, w.open} {
		if err := step(ctx); err != nil {
			return w, err
		}
	}
	w.history.start = time.Now()
	return w, nil
}

func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	return &http.Client{
		Timeout: 30 * time.Second, Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (w *world) build(ctx context.Context) error {
	if w.binary = w.o.binary; w.binary != "" {
		return nil
	}
	w.binary = filepath.Join(w.dir, "crema")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", w.binary, "./server")
	cmd.Dir = w.o.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func (w *world) startDatabase(ctx context.Context) (err error) {
	w.database, err = cluster.Start(ctx, cluster.Config{Dir: w.databaseDir()})
	if err != nil {
		return err
	}
	url := w.database.URL(cluster.Database)
	if w.url == "" {
		w.url = url
	} else if w.url != url { // many read it meanwhile
		return fmt.Errorf("the database moved from %s to %s", w.url, url)
	}
	return nil
}

func (w *world) databaseDir() string { return filepath.Join(w.dir, "pg") }

// child is a process that this one started.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

func (w *world) spawn(name string, cmd *exec.Cmd, env ...string) (*child, error) {
	log, err := os.OpenFile(filepath.Join(w.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, log, log
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// kill ends the process without any warning.
func (c *child) kill() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	<-c.exited
}

func (c *child) killed() bool {
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers waits until url is served.
func (w *world) answers(ctx context.Context, url string, dead <-chan struct{}) error {
	wait := time.NewTicker(10 * time.Millisecond)
	defer wait.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-dead:
			return errors.New("the process ended")
		case <-wait.C:
		}
		resp, err := w.client.Get(url)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", url, err)
		}
	}
}

func (w *world) startSandbox(ctx context.Context) error {
	admin, err := pg.Open(ctx, pg.Config{URL: w.url, Schema: "public", MaxConns: 1})
	if err != nil {
		return err
	}
	_, err = admin.Exec(ctx, "CREATE DATABASE "+providerName)
	if err := errors.Join(err, admin.Close()); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	shop, err := freeAddress()
	if err != nil {
		return err
	}
	w.stripe, w.shop = "http://"+address, "http://"+shop
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w.sandbox, err = w.spawn("sandbox", exec.Command(self), roleVariable+"="+roleSandbox,
		"DATABASE_URL="+w.database.URL(providerName), addressVariable+"="+address, hookVariable+"="+w.shop+"/stripe/webhook")
	if err != nil {
		return err
	}
	return w.answers(ctx, w.stripe+"/v1/charges", w.sandbox.exited)
}

// open connects the observer's own eyes. Its refunds are those of an operator in a second process.
func (w *world) open(ctx context.Context) (err error) {
	if w.db, err = pg.Open(ctx, pg.Config{URL: w.url, Schema: schema, MaxConns: 8}); err != nil {
		return err
	}
	if w.provider, err = pg.Open(ctx, pg.Config{URL: w.database.URL(providerName), Schema: "stripe_" + schema, MaxConns: 2}); err != nil {
		return err
	}
	w.refunds, err = payments.New(payments.Config{
		DB: w.db, Log: quiet(), Install: appName, Mode: payments.Sandbox, SecretKey: "sk_test_" + derive("sandbox secret"),
		URL: w.stripe, LinkKey: derive("order links"), TokenPath: true,
	})
	if err != nil {
		return err
	}
	products, err := w.refunds.Products(ctx)
	w.prices, w.names = map[string]int64{}, map[string]string{}
	for _, p := range products {
		w.prices[p.ID], w.names[p.ID] = p.UnitAmount, p.Name
	}
	return err
}

// tail is the end of the server's log.
func (w *world) tail() string {
	b, _ := os.ReadFile(filepath.Join(w.dir, "server.log"))
	return string(b[max(0, len(b)-4000):])
}

// close ends whatever was started and removes the folder.
func (w *world) close() {
	if w.server != nil {
		w.server.stop()
	}
	w.sandbox.kill()
	for _, db := range []*pg.DB{w.db, w.provider} {
		if db != nil {
			_ = db.Close()
		}
	}
	if w.database != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = w.database.Stop(ctx)
	}
	if w.o.keep {
		fmt.Println("kept:", w.dir)
		return
	}
	_ = os.RemoveAll(w.dir)
}

// killPostgres ends every process of the database at once, as a power cut would.
func (w *world) killPostgres() error {
	pid, err := os.ReadFile(filepath.Join(w.databaseDir(), "postgres", "data", "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(pid), "\n")
	n, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	if err := syscall.Kill(-n, syscall.SIGKILL); err != nil {
		return err
	}
	<-w.database.Done()
	return nil
}
