package sockets

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/core/acl"
	"crema/server/core/pubsub"
	"crema/server/web"
)

// Config is what the door needs.
type Config struct {
	Gate       *web.Gate
	Room       *pubsub.Service
	Log        *slog.Logger // nil: discard
	Metrics    *telemetry.Metrics
	Sockets    int           // open at once; 0: 20,000
	PerAddress int           // of one client address, master key excepted; 0: 1,000
	Ping       time.Duration // between two signs of life that a peer is asked for; 0: 45 s
	Pong       time.Duration // that it may take to give one, and to take a message; 0: 15 s
}

// Door keeps the open sockets.
type Door struct {
	c      Config
	life   context.Context // of publishing; ends with Stop
	cancel context.CancelFunc
	closed telemetry.Counter // sockets, by why

	mu        sync.Mutex
	stopping  bool
	count     int // open and about to be
	open      map[*socket]struct{}
	addresses map[string]int
	running   sync.WaitGroup // sockets, from reserve to release, the keeper and its pings
}

// New returns a Door. It works without Start; Stop must be called.
func New(c Config) *Door {
	c.Sockets = cmp.Or(c.Sockets, 20_000)
	c.PerAddress = cmp.Or(c.PerAddress, 1000)
	c.Ping = cmp.Or(c.Ping, 45*time.Second)
	c.Pong = cmp.Or(c.Pong, 15*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{c: c, open: map[*socket]struct{}{}, addresses: map[string]int{}}
	c.Metrics.Gauge("sockets_open", "Websockets that are open.", func() float64 { return float64(d.Open()) })
	d.closed = c.Metrics.Counter("sockets_closed_total", "Websockets that have ended, by why.", "why")
	d.life, d.cancel = context.WithCancel(context.Background())
	return d
}

// Register hangs the door on r. All methods are its own: the wire answers 404 to all but GET.
func (d *Door) Register(r chi.Router) {
	r.Handle("/pubsub", d.serve(pubsub.Public))
	r.Handle("/_/pubsub", d.serve(pubsub.Internal))
}

// Open returns how many sockets are open.
func (d *Door) Open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// closing is how long Stop waits for peers to take what waits for them.
const closing = time.Second

// Stop refuses new sockets and closes the open ones with status 1001, without waiting long for anybody.
// It returns when all are gone. Called again it does nothing.
func (d *Door) Stop(context.Context) {
	d.mu.Lock()
	d.stopping = true
	for s := range d.open {
		s.member.Leave(errStopping)
	}
	d.mu.Unlock()
	d.cancel()
	late := time.AfterFunc(closing, d.cut)
	defer late.Stop()
	d.running.Wait()
}

func (d *Door) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.open {
		s.drop()
	}
}

func (d *Door) serve(hub pubsub.Hub) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet {
			return fault.New(fault.UnknownOperation, "sockets.method", "this path takes a websocket, which starts with GET")
		}
		address, err := d.admit(r)
		if err != nil {
			return err
		}
		u := &upgrade{ResponseWriter: w}
		s := &socket{door: d, address: address, log: d.c.Log.With("hub", string(hub), "request_id", telemetry.RequestID(r.Context())), began: time.Now()}
		if err := d.reserve(s); err != nil {
			return err
		}
		// Any page may connect: it has to know the key.
		s.conn, err = websocket.Accept(u, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			d.release(s)
			return fault.Wrap(err, fault.BadRequest, "sockets.handshake", "this path takes a websocket of version 13; connect with a websocket client")
		}
		s.raw = u.conn
		d.start(s, hub)
		return nil
	}
}

// admit wants a key of ours, in the header or in the query. It returns the address whose sockets are
// counted, "" for the master key.
func (d *Door) admit(r *http.Request) (string, error) {
	c := d.c.Gate.Credentials(r)
	c.APIKey = cmp.Or(c.APIKey, r.URL.Query().Get("api_key"))
	kind, err := d.c.Gate.Key(c)
	switch {
	case err != nil:
		return "", err
	case kind == acl.NoKey:
		return "", fault.New(fault.Unauthenticated, "sockets.key_missing", "send the API key as api_key in the query, or in the header X-Skygear-Api-Key")
	case kind == acl.MasterKey:
		return "", nil
	}
	return c.Address, nil
}
