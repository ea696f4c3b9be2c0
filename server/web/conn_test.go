package web

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testFar   = 100 * time.Millisecond
	testEvery = 20 * time.Millisecond
)

// pair returns both ends of a connection, the server's from a listener with short times.
func pair(t *testing.T) (*listener, net.Conn, net.Conn) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := patient(raw, testFar, testEvery)
	client, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = client.Close(), server.Close(), l.Close() })
	return l, server, client
}

// readFor returns how long a read took that nobody answered.
func readFor(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read ended with %v", err)
	}
	return time.Since(start)
}

func TestConn_EndsReadsAtTheirDeadlines(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"past": -time.Hour, "near": testFar / 3, "far": 2 * testFar} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, server, _ := pair(t)
			for range 2 { // the deadline of a read that has ended must not end another
				if err := server.SetReadDeadline(time.Now().Add(after)); err != nil {
					t.Fatal(err)
				}
				if took := readFor(t, server); took < after-time.Millisecond || took > 10*time.Second {
					t.Errorf("ended after %v, want %v", took, after)
				}
			}
		})
	}
}

func TestConn_ADeadlineThatIsMovedDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(net.Conn){
		"near, then none": func(c net.Conn) { _, _ = c.SetReadDeadline(time.Now().Add(testFar/3)), c.SetReadDeadline(time.Time{}) },
		"near, then far": func(c net.Conn) {
			_, _ = c.SetDeadline(time.Now().Add(testFar/3)), c.SetDeadline(time.Now().Add(time.Hour))
		},
		"far, then none": func(c net.Conn) { _, _ = c.SetReadDeadline(time.Now().Add(2*testFar)), c.SetDeadline(time.Time{}) },
		"far, then later": func(c net.Conn) {
			_, _ = c.SetDeadline(time.Now().Add(2*testFar)), c.SetReadDeadline(time.Now().Add(time.Hour))
		},
		"past, then none": func(c net.Conn) { _, _ = c.SetReadDeadline(time.Unix(1, 0)), c.SetReadDeadline(time.Time{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, server, client := pair(t)
			set(server)
			time.AfterFunc(4*testFar, func() { _, _ = client.Write([]byte("x")) })
			if n, err := server.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("read %d, %v", n, err)
			}
		})
	}
}

// TestConn_ASetDeadlineEndsAReadUnderWay is how net/http takes a connection back from the read that waits for the client to go.
func TestConn_ASetDeadlineEndsAReadUnderWay(t *testing.T) {
	t.Parallel()
	_, server, _ := pair(t)
	_ = server.SetReadDeadline(time.Now().Add(time.Hour))
	time.AfterFunc(testEvery, func() { _ = server.SetReadDeadline(time.Unix(1, 0)) })
	if took := readFor(t, server); took > 10*time.Second {
		t.Errorf("ended after %v", took)
	}
}

// rest waits until the sweep knows no connection and sleeps.
func (l *listener) rest(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(testEvery) {
		l.mu.Lock()
		left, awake := len(l.conns), l.awake
		l.mu.Unlock()
		if left == 0 && !awake {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections are left; awake: %v", left, awake)
		}
	}
}

// TestConn_WithoutAnEndIsLeftAlone is about connections that a websocket takes over, or that are lost: the garbage
// collector closes those, unless somebody still knows them.
func TestConn_WithoutAnEndIsLeftAlone(t *testing.T) {
	t.Parallel()
	l, server, _ := pair(t)
	for range 2 { // and known again when it has one
		_ = server.SetReadDeadline(time.Now().Add(time.Hour))
		l.mu.Lock()
		known := len(l.conns)
		l.mu.Unlock()
		if known != 1 {
			t.Fatalf("%d connections are known", known)
		}
		_ = server.SetReadDeadline(time.Time{})
		l.rest(t)
	}
	_ = server.SetReadDeadline(time.Now().Add(2 * testFar))
	readFor(t, server)
}

func TestConn_IsForgottenWhenItCloses(t *testing.T) {
	t.Parallel()
	l, server, client := pair(t)
	_ = server.SetReadDeadline(time.Now().Add(time.Hour))
	_ = client.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %v", err)
	}
	_ = server.Close()
	if err := server.SetReadDeadline(time.Now()); err == nil {
		t.Error("a closed connection took a deadline")
	}
	l.rest(t)
}

// TestConn_KeepsTheServersTimeLimits holds net/http's limits with these connections: who sends too slowly, or nothing, is
// cut off, and a handler that takes longer than all limits is not.
func TestConn_KeepsTheServersTimeLimits(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Second // a busy machine is slow to send
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(limit + limit/2)
		if r.Context().Err() != nil {
			t.Error("the client is taken for gone")
		}
	}), slog.New(slog.DiscardHandler))
	server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout = limit, limit, limit
	over := make(chan error, 1)
	go func() { over <- server.Serve(patient(raw, testFar, testEvery)) }()
	t.Cleanup(func() { _, _ = server.Close(), <-over })
	var clients sync.WaitGroup
	for name, c := range map[string]struct {
		sent    string
		answers int
	}{
		"nothing":         {"", 0},
		"half a header":   {"GET / HTTP/1.1\r\nHost: s", 0},
		"idle after one":  {"GET / HTTP/1.1\r\nHost: shop\r\n\r\n", 1},
		"one with a body": {"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\n12345", 1},
	} {
		clients.Go(func() {
			start := time.Now()
			got, err := untilClosed(raw.Addr().String(), c.sent)
			if err != nil {
				t.Errorf("%s: the connection stays open: %v", name, err)
			}
			if n := strings.Count(got, "HTTP/1.1 200 OK"); n != c.answers {
				t.Errorf("%s: %d answers, want %d: %q", name, n, c.answers, got)
			}
			if took := time.Since(start); took < limit {
				t.Errorf("%s: closed after %v", name, took)
			}
		})
	}
	clients.Wait()
}

// untilClosed sends a text and returns what comes until the server closes the connection.
func untilClosed(address, text string) (string, error) {
	client, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer client.Close() //nolint:errcheck // the server has closed it
	if err := client.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(client, text); err != nil {
		return "", err
	}
	got, err := io.ReadAll(client)
	return string(got), err
}
