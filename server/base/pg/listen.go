package pg

import (
	"context"
	"time"

	"github.com/lib/pq"
)

// Listener hands on what other servers NOTIFY. Stop ends it.
type Listener struct {
	inner *pq.Listener
	done  chan struct{}
}

// Listen subscribes to a channel and returns once the subscription stands. notify is called in order,
// from one goroutine, with each payload; after a lost connection it is called with again = true, since
// notices may have been missed.
func (db *DB) Listen(ctx context.Context, channel string, notify func(payload string, again bool)) (*Listener, error) {
	inner := pq.NewListener(db.url, 100*time.Millisecond, 10*time.Second, nil)
	ready := make(chan error, 1)
	go func() { ready <- inner.Listen(channel) }()
	select {
	case <-ctx.Done():
		_ = inner.Close()
		return nil, Fault(ctx.Err())
	case err := <-ready:
		if err != nil {
			_ = inner.Close()
			return nil, Fault(err)
		}
	}
	l := &Listener{inner: inner, done: make(chan struct{})}
	go l.run(notify)
	return l, nil
}

func (l *Listener) run(notify func(string, bool)) {
	defer close(l.done)
	for n := range l.inner.NotificationChannel() {
		if n == nil { // the driver's sign for "reconnected"
			notify("", true)
			continue
		}
		notify(n.Extra, false)
	}
}

// Stop ends the subscription and waits for a running notify.
func (l *Listener) Stop() {
	_ = l.inner.Close()
	<-l.done
}
