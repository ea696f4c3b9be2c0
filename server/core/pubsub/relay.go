package pubsub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

const (
	maxWaiting  = 8 << 20   // bytes that wait for other servers; then publishers wait
	maxBatch    = 256 << 10 // bytes of a batch, when it has more than one message
	sendTime    = 10 * time.Second
	firstPause  = 50 * time.Millisecond // after a failure; it doubles
	longPause   = 5 * time.Second
	echoTime    = 10 * time.Second // in which a server must have heard itself
	beat        = 10 * time.Second // at which a server says that it is there
	aloneAfter  = time.Minute      // without word of another server
	messageHead = 32               // bytes that a message takes beside its texts, about
)

// relay sends what this server publishes to the other servers, in batches: while one is under way the
// next one gathers. Subscribers of this server do not wait for it. Every server sends something every beat;
// one that hears itself and nobody else is alone, and keeps its messages to itself.
type relay struct {
	db      *pg.DB
	log     *slog.Logger
	channel string
	node    string
	echoed  atomic.Int64 // when this server last heard itself, in Unix nanoseconds; 0: never
	others  atomic.Int64 // when it last heard another one, or began
	done    chan struct{}
	cancel  context.CancelFunc

	mu      sync.Mutex
	seen    map[string]time.Time // other servers, and when they were heard
	queue   []message
	bytes   int
	wake    chan struct{} // has room for one sign
	room    chan struct{} // closed when queue is taken or is not to be waited for; nil: nobody waits
	down    bool          // the last batch could not be sent yet
	ending  bool
	dropped int
}

func newRelay(db *pg.DB, log *slog.Logger) *relay {
	var node [8]byte
	_, _ = rand.Read(node[:]) // never fails
	sum := sha256.Sum256([]byte(db.Schema()))
	return &relay{
		db: db, log: log, node: hex.EncodeToString(node[:]), channel: "crema_pubsub_" + hex.EncodeToString(sum[:8]),
		wake: make(chan struct{}, 1), done: make(chan struct{}), seen: map[string]time.Time{},
	}
}

// start sends from now on. The first batch says that this server is there.
func (r *relay) start(ctx context.Context) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	echo := time.AfterFunc(echoTime, func() {
		if r.echoed.Load() == 0 {
			r.log.Warn("pubsub does not hear other servers: notices of PostgreSQL do not arrive; " +
				"when DATABASE_URL leads to a pooler, set DATABASE_LISTEN_URL to the database itself")
		}
	})
	r.others.Store(time.Now().UnixNano())
	go func() {
		defer close(r.done)
		defer echo.Stop()
		r.run(life)
	}()
}

// stop sends what waits, until ctx ends.
func (r *relay) stop(ctx context.Context) {
	r.mu.Lock()
	r.ending = true
	r.makeRoom()
	r.mu.Unlock()
	r.sign()
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	r.cancel()
	<-r.done
}

func (r *relay) sign() {
	select {
	case r.wake <- struct{}{}:
	default: // one waits already
	}
}

// push queues m. When too much waits, it waits for room as long as batches are sent, if waits allows it; else
// the message is dropped for the other servers and counted.
func (r *relay) push(ctx context.Context, m message, waits bool) error {
	if r.alone(time.Now()) {
		return nil
	}
	for {
		room := r.tryPush(m, waits)
		if room == nil {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
}

func (r *relay) tryPush(m message, waits bool) (room <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.bytes < maxWaiting:
		r.queue = append(r.queue, m)
		r.bytes += m.size()
		r.sign()
	case !waits || r.down || r.ending:
		r.dropped++
	default:
		if r.room == nil {
			r.room = make(chan struct{})
		}
		return r.room
	}
	return nil
}

func (m message) size() int { return len(m.name) + len(m.data) + messageHead }

func (r *relay) makeRoom() {
	if r.room != nil {
		close(r.room)
		r.room = nil
	}
}

func (r *relay) run(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	due := true
	for batch := uint64(1); ; {
		text, ending := r.take()
		switch {
		case text != "" || due:
			if !r.send(ctx, cut(r.node, batch, text)) {
				return
			}
			batch++
			due = false
			continue
		case ending:
			return
		}
		select {
		case <-r.wake:
		case <-tick.C:
			due = true
		case <-ctx.Done():
			return
		}
	}
}

// alone says whether no other server can be there to hear a message.
func (r *relay) alone(now time.Time) bool {
	const limit = int64(aloneAfter)
	return now.UnixNano()-r.echoed.Load() < limit && now.UnixNano()-r.others.Load() > limit
}

// heard notes that another server is there.
func (r *relay) heard(node string) {
	now := time.Now()
	r.others.Store(now.UnixNano())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[node] = now
}

// count returns how many other servers have said something in the last three beats.
func (r *relay) count(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.seen, func(_ string, at time.Time) bool { return now.Sub(at) > 3*beat })
	return len(r.seen)
}

// take returns the next batch as text.
func (r *relay) take() (text string, ending bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, size := 0, 0
	for n < len(r.queue) && (n == 0 || size+r.queue[n].size() <= maxBatch) {
		size += r.queue[n].size()
		n++
	}
	b := make([]byte, 0, size)
	for _, m := range r.queue[:n] {
		b = m.appendTo(b)
	}
	if r.queue = r.queue[n:]; len(r.queue) == 0 {
		r.queue = nil
	}
	r.bytes -= size
	r.makeRoom()
	return string(b), r.ending
}

// send sends a batch, again and again while the database is away. A batch that arrived although its
// sending failed is known by its number. It returns false when that is given up.
func (r *relay) send(ctx context.Context, parts []string) bool {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		one, cancel := context.WithTimeout(ctx, sendTime)
		err := send(one, r.db, r.channel, parts)
		cancel()
		if giveUp := r.outcome(err); err == nil || giveUp || ctx.Err() != nil {
			return err == nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// outcome notes and tells how sending went. It says whether trying again would hold the server's end up.
func (r *relay) outcome(err error) (giveUp bool) {
	r.mu.Lock()
	was, dropped, ending := r.down, r.dropped, r.ending
	r.down = err != nil
	if r.down {
		r.makeRoom()
	} else {
		r.dropped = 0
	}
	r.mu.Unlock()
	switch {
	case err != nil && !was:
		r.log.Warn("pubsub cannot reach the other servers; what is published waits for the database", "error", err)
	case err == nil && was:
		r.log.Info("pubsub reaches the other servers again")
	}
	if err == nil && dropped > 0 {
		r.log.Warn("other servers did not get some messages: too many waited", "messages", dropped)
	}
	return ending
}
