package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"crema/server/base/pg"
	"crema/server/core/payments/sandbox"
)

// roleVariable tells a copy of this program what to be.
const (
	roleVariable    = "CREMA_CHAOS_ROLE"
	roleSandbox     = "sandbox"
	addressVariable = "CREMA_CHAOS_ADDRESS"
	hookVariable    = "CREMA_CHAOS_WEBHOOK"
)

// childOf returns what a copy of this program does in a role, nil for none.
func childOf(role string) func() int {
	return map[string]func() int{roleSandbox: runSandbox, roleOperator: runOperator}[role]
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// runSandbox serves the sandbox until it is killed.
func runSandbox() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serveSandbox(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	return 0
}

func serveSandbox(ctx context.Context) error {
	db, err := pg.Open(ctx, pg.Config{URL: os.Getenv("DATABASE_URL"), Schema: schema, MaxConns: 48})
	if err != nil {
		return err
	}
	s, err := sandbox.New(ctx, sandbox.Config{
		DB: db, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), SecretKey: "sk_test_" + derive("sandbox secret"),
		PublishableKey: "pk_test_" + derive("sandbox publishable"), AdminToken: derive("sandbox admin"),
		WebhookSecret: "whsec_" + derive("sandbox webhook"), Retries: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
	})
	if err != nil {
		return err
	}
	if _, err := s.Endpoint(ctx, os.Getenv(hookVariable)); err != nil {
		return err
	}
	s.Start(ctx)
	if _, err := s.ListenOn(ctx, os.Getenv(addressVariable)); err != nil {
		return err
	}
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.Stop(end)
}

// keeper restarts the server whenever it dies.
type keeper struct {
	w    *world
	end  chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	running *child
	next    int // kill of the plan
}

// startServer starts the first server and waits for it, so that the tables are there.
func (w *world) startServer(ctx context.Context) error {
	w.server = &keeper{w: w, end: make(chan struct{})}
	c, err := w.launch("")
	if err != nil {
		return err
	}
	w.server.running = c
	if err := w.answers(ctx, w.shop+"/healthz", c.exited); err != nil {
		return fmt.Errorf("%w\n%s", err, w.tail())
	}
	return nil
}

func (w *world) launch(failpoint string) (*child, error) {
	return w.spawn("server", exec.Command(w.binary, "serve"),
		"HOST="+w.shop[len("http://"):], "PUBLIC_URL="+w.shop, "DATABASE_URL="+w.url, "API_KEY="+apiKey, "MASTER_KEY="+masterKey,
		"STRIPE_SANDBOX_URL="+w.stripe, "TRUSTED_PROXIES=127.0.0.1", "LOG_FORMAT=json", "CREMA_FAILPOINT="+failpoint)
}

// keep carries the plan of kills out, and starts a server after each.
func (k *keeper) keep(ctx context.Context) {
	k.done.Go(func() {
		for k.going() {
			point := killPlan(k.w.o.seed, k.next, k.w.o.atMost < time.Minute)
			k.running.kill()
			c, err := k.w.launch(point.variable())
			if err != nil {
				continue
			}
			k.set(c)
			_ = k.w.answers(ctx, k.w.shop+"/healthz", c.exited) // it may have met its failpoint by now
			k.await(point, c)
		}
	})
}

func (k *keeper) going() bool {
	select {
	case <-k.end:
		return false
	default:
		return true
	}
}

func (k *keeper) set(c *child) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = c
}

// await waits until the failpoint kills the server, or kills it when the time is over.
func (k *keeper) await(point kill, c *child) {
	late := time.NewTimer(point.after)
	defer late.Stop()
	name := point.point
	select {
	case <-c.exited:
		if !c.killed() {
			return // it gave up because its database was away
		}
	case <-late.C:
		name = "random moment"
		c.kill()
	case <-k.end:
		return
	}
	if name == "" {
		name = "random moment"
	}
	k.w.faults.add("kill: " + name)
	k.mu.Lock()
	defer k.mu.Unlock()
	if name == point.point || k.next >= len(failpoints)-1 { // each point once, however long it takes
		k.next++
	}
}

// kills is how many the plan has had.
func (k *keeper) kills() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next
}

func (k *keeper) stop() {
	if k.going() {
		close(k.end)
	}
	k.done.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running.kill()
	k.running = nil
}
