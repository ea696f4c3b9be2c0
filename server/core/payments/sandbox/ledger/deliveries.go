package ledger

import (
	"context"
	"time"

	"crema/server/base/pg"
)

// Delivery is an event on its way to one webhook endpoint.
type Delivery struct {
	ID         int64  `json:"id" db:"id"`
	EventID    string `json:"event_id" db:"event_id"`
	EndpointID string `json:"endpoint_id" db:"endpoint_id"`
	State      string `json:"state" db:"state"`   // pending, delivered or failed
	Tries      int    `json:"tries" db:"tries"`   // with the one that runs
	Status     int    `json:"status" db:"status"` // last HTTP status; 0: no answer
}

// InsertEvent stores an event and its deliveries to the endpoints that want its type.
func (t *Tx) InsertEvent(ctx context.Context, o Object, kind string) error {
	_, err := t.tx.Exec(ctx, insertEvent, o.ID, o.Created, string(o.Data), kind)
	return err
}

// Resend makes every delivery of an event pending again, and returns how many there are.
func (t *Tx) Resend(ctx context.Context, event string) (int64, error) {
	n, err := t.tx.Exec(ctx, resendEvent, event)
	if err != nil {
		return 0, err
	}
	_, err = t.tx.Exec(ctx, resetPending, event)
	return n, err
}

// SetEndpoint says which types of events an endpoint wants from now on; none switches it off.
func (t *Tx) SetEndpoint(ctx context.Context, id string, events []string) error {
	if len(events) == 0 {
		_, err := t.tx.Exec(ctx, disableEndpoint, id)
		return err
	}
	_, err := t.tx.Exec(ctx, enableEndpoint, id, pg.Array(events))
	return err
}

// DropEndpoint gives up what waits for a webhook endpoint and forgets the endpoint.
func (t *Tx) DropEndpoint(ctx context.Context, kind, id string) error {
	if err := t.SetEndpoint(ctx, id, nil); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, dropDeliveries, id); err != nil {
		return err
	}
	_, err := t.tx.Exec(ctx, deleteObject, kind, id)
	return err
}

// Lease takes at most limit deliveries whose time has come. They are this process's until lease has
// passed; then any other may take them.
func (l *Ledger) Lease(ctx context.Context, limit int, lease time.Duration) ([]Delivery, error) {
	var due []Delivery
	return due, l.db.Select(ctx, &due, leaseDeliveries, limit, lease.Milliseconds())
}

// EndDelivery says what became of a delivery for good.
func (l *Ledger) EndDelivery(ctx context.Context, id int64, delivered bool, status int) error {
	state := "failed"
	if delivered {
		state = "delivered"
	}
	_, err := l.db.Exec(ctx, endDelivery, id, state, status)
	return err
}

// RetryDelivery lets a delivery wait. tries is what counts as done so far.
func (l *Ledger) RetryDelivery(ctx context.Context, id int64, tries, status int, wait time.Duration) error {
	_, err := l.db.Exec(ctx, retryDelivery, id, status, tries, wait.Milliseconds())
	return err
}

// Deliveries returns the newest deliveries, of one event unless it is "", and how many of all are pending.
func (l *Ledger) Deliveries(ctx context.Context, event string, limit int) (list []Delivery, pending int, err error) {
	list = []Delivery{}
	// Counted first: when nothing is pending, the list shows how everything ended.
	if err := l.db.Get(ctx, &pending, countPending); err != nil {
		return nil, 0, err
	}
	return list, pending, l.db.Select(ctx, &list, selectDeliveries, event, limit)
}

// Ahead returns how far the sandbox's clock is ahead of the real one.
func (t *Tx) Ahead(ctx context.Context) (time.Duration, error) {
	var micros int64
	err := t.tx.Get(ctx, &micros, selectAhead)
	return time.Duration(micros) * time.Microsecond, err
}

// Advance moves the sandbox's clock forward, for every process.
func (l *Ledger) Advance(ctx context.Context, d time.Duration) error {
	_, err := l.db.Exec(ctx, advance, d.Microseconds())
	return err
}

// Reset forgets everything, the journal too, except webhook endpoints, and sets the clock right.
func (l *Ledger) Reset(ctx context.Context) error {
	return l.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		for _, statement := range reset {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}
