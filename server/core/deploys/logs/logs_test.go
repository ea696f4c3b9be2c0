package logs_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/base/telemetry"
	"crema/server/core/deploys/logs"
	"crema/server/core/pubsub"
	"crema/server/testkit"
)

// server is one of several on a database.
type server struct {
	*logs.Service
	log *slog.Logger
}

func start(t *testing.T, db *pg.DB, name string, c logs.Config) server {
	t.Helper()
	c.Room = pubsub.New(pubsub.Config{DB: db, Limits: pubsub.Limits{MessageBytes: 4 << 10}})
	if err := c.Room.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Tap, c.Server, c.Log = telemetry.NewTap(), name, slog.New(slog.DiscardHandler)
	s := server{logs.New(c), c.Tap.Logger(slog.New(slog.DiscardHandler))}
	s.Start()
	t.Cleanup(func() {
		s.Stop()
		c.Room.Stop(context.Background())
	})
	return s
}

// until reads lines until one ends like this, and returns them all.
func until(t *testing.T, more <-chan string, end string) (lines []string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-more:
			if !ok {
				t.Fatalf("the lines ended before %q: %q", end, lines)
			}
			if lines = append(lines, line); strings.HasSuffix(line, end) {
				return lines
			}
		case <-limit:
			t.Fatalf("waited 30 s for %q: %q", end, lines)
		}
	}
}

func TestListen_ToAllServers(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	c := logs.Config{Patience: 30 * time.Second, Lease: 30 * time.Second}
	one, two := start(t, db, "one", c), start(t, db, "two", c)
	one.log.Info("first")
	two.log.Info("second " + strings.Repeat("long ", 2000))
	<-time.After(2 * time.Millisecond) // what lines tell of their time
	one.log.Info("third")
	last, more, stop := one.Listen(t.Context(), 2, true)
	if len(last) != 2 || !strings.Contains(last[0], `msg="second long`) || !strings.HasSuffix(last[1], "msg=third server=one") {
		t.Errorf("the last lines are %q", last)
	}
	for i := range 500 {
		two.log.Info("fourth", "n", i)
	}
	n := 0
	for _, line := range until(t, more, "n=499 server=two") {
		if strings.Contains(line, "msg=fourth") {
			if !strings.Contains(line, fmt.Sprintf(" n=%d ", n)) {
				t.Fatalf("line %d is %s", n, line)
			}
			n++
		}
	}
	one.log.Info("fifth")
	until(t, more, "msg=fifth server=one")
	stop()
	if _, ok := <-more; n != 500 || ok {
		t.Errorf("%d lines, and there are more: %v", n, ok)
	}
	last, more, _ = two.Listen(t.Context(), 3, false)
	if _, ok := <-more; ok || len(last) != 3 || !strings.HasSuffix(last[2], "msg=fifth server=one") || !strings.HasSuffix(last[1], "n=499 server=two") {
		t.Errorf("the last lines are %q", last)
	}
}

// A listener goes on beyond a lease, and a server that has gone is waited for no longer than the patience.
func TestListen_AsksAgain(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	one, two := start(t, db, "one", logs.Config{Patience: 30 * time.Second, Lease: 300 * time.Millisecond}), start(t, db, "two", logs.Config{Lease: 50 * time.Millisecond})
	_, more, stop := one.Listen(t.Context(), 0, true)
	defer stop()
	<-time.After(200 * time.Millisecond) // the lease has ended
	for again := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case line, ok := <-more:
			if !ok {
				t.Fatal("the lines end")
			}
			if strings.Contains(line, "again") {
				return
			}
		case <-again.C:
			two.log.Info("again")
		case <-t.Context().Done():
			t.Fatal("nobody asks again")
		}
	}
}

func TestListen_Alone(t *testing.T) {
	t.Parallel()
	tap := telemetry.NewTap()
	s := logs.New(logs.Config{Tap: tap, Server: "one"})
	s.Start()
	defer s.Stop()
	log := tap.Logger(slog.New(slog.DiscardHandler))
	log.Info("first")
	ctx, cancel := context.WithCancel(t.Context())
	last, more, stop := s.Listen(ctx, 10, true)
	defer stop()
	if len(last) != 1 || !strings.HasSuffix(last[0], "msg=first server=one") {
		t.Errorf("the last lines are %q", last)
	}
	cancel()
	if _, ok := <-more; ok {
		t.Error("the lines go on")
	}
}
