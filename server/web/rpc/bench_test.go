package rpc_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/lambdas"
	"crema/server/core/functions"
	"crema/server/web/doortest"
	"crema/server/web/rpc"
)

const (
	echoBody    = `{"message":"two bags of Kenya AA, please","count":2}`
	echoRequest = "POST /lambda/echo HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n" +
		"X-Skygear-Api-Key: " + doortest.APIKey + "\r\nContent-Length: "
)

type floorBody struct {
	Message string `json:"message"`
	Count   int    `json:"count"`
}

type floorAnswer struct {
	Result floorBody `json:"result"`
}

// floor is what a bare handler costs that decodes and encodes the same JSON.
func floor() http.Handler {
	r := chi.NewRouter()
	r.Post("/lambda/echo", func(w http.ResponseWriter, r *http.Request) {
		var in floorBody
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(floorAnswer{in})
	})
	return r
}

// ours is the door without the middlewares that other packages answer for.
func ours(t testing.TB) http.Handler {
	t.Helper()
	fns, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)}, lambdas.All()...)
	if err != nil {
		t.Fatal(err)
	}
	gate, _ := doortest.New(t)
	r := chi.NewRouter()
	rpc.New(fns, gate).Register(r)
	return r
}

// conn is a keep-alive connection that sends the same request again and again.
type conn struct {
	net.Conn
	r   *bufio.Reader
	out []byte
	in  []byte
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	out := fmt.Appendf(nil, "%s%d\r\n\r\n%s", echoRequest, len(echoBody), echoBody)
	return &conn{Conn: c, r: bufio.NewReader(c), out: out}
}

// call sends one request and reads the answer's body, which has a Content-Length.
func (c *conn) call() error {
	if _, err := c.Write(c.out); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && string(line) != "HTTP/1.1 200 OK\r\n":
			return fmt.Errorf("status %s", line)
		case len(line) == 2:
			c.in = append(c.in[:0], make([]byte, length)...)
			_, err := io.ReadFull(c.r, c.in)
			return err
		case strings.HasPrefix(string(line), "Content-Length: "):
			_, err = fmt.Sscanf(string(line), "Content-Length: %d", &length)
			if err != nil {
				return err
			}
		}
	}
}

// turns sends n requests over each connection and returns the time it took.
func turns(b *testing.B, conns []*conn, n int) time.Duration {
	b.Helper()
	var all sync.WaitGroup
	start := time.Now()
	for _, c := range conns {
		all.Go(func() {
			for range n {
				if err := c.call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

// BenchmarkEcho measures the floor and the door in turns, so that a busy machine slows both, and
// reports the median ratio of their speeds: 1 is as fast as the floor.
func BenchmarkEcho(b *testing.B) {
	floorServer, ourServer := httptest.NewServer(floor()), httptest.NewServer(ours(b))
	b.Cleanup(floorServer.Close)
	b.Cleanup(ourServer.Close)
	for _, n := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("conns=%d", n), func(b *testing.B) {
			var floors, doors []*conn
			for range n {
				floors = append(floors, dial(b, floorServer.Listener.Addr().String()))
				doors = append(doors, dial(b, ourServer.Listener.Addr().String()))
			}
			turns(b, floors, 100)
			turns(b, doors, 100)
			const turn = 96 // short, so that what disturbs the machine seldom hits one side alone
			var ratios, floorSpeed, doorSpeed []float64
			for b.Loop() {
				floorTime := turns(b, floors, turn/n).Seconds()
				doorTime := turns(b, doors, turn/n).Seconds()
				ratios = append(ratios, floorTime/doorTime)
				floorSpeed = append(floorSpeed, turn/floorTime)
				doorSpeed = append(doorSpeed, turn/doorTime)
			}
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(median(floorSpeed), "floor/s")
			b.ReportMetric(median(doorSpeed), "ours/s")
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkEchoHandler shows time and allocations of the two handlers without a network.
func BenchmarkEchoHandler(b *testing.B) {
	for name, h := range map[string]http.Handler{"floor": floor(), "ours": ours(b)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			body := strings.NewReader(echoBody)
			r := httptest.NewRequest(http.MethodPost, "/lambda/echo", body)
			r.Header.Set("X-Skygear-Api-Key", doortest.APIKey)
			w := &discard{header: http.Header{}}
			for b.Loop() {
				body.Reset(echoBody)
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
