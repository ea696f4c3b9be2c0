package ledger

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Object is a stored object of one kind ("charge", "token", ...).
type Object struct {
	ID      string          `db:"id"`
	Seq     int64           `db:"seq"` // the order of creation
	Kind    string          `db:"kind"`
	Created int64           `db:"created"` // unix seconds
	Data    json.RawMessage `db:"data"`    // what Stripe would show
	Hidden  json.RawMessage `db:"hidden"`  // what only the sandbox knows
}

// Move is one move of money, as the journal has it.
type Move struct {
	Seq      int64     `json:"seq" db:"seq"`
	At       time.Time `json:"at" db:"at"`
	Op       string    `json:"op" db:"op"`             // charge, refund, refund_failed, dispute, dispute_won
	Amount   int64     `json:"amount" db:"amount"`     // minor units, positive
	Currency string    `json:"currency" db:"currency"` // lower case
	ObjectID string    `json:"object_id" db:"object_id"`
	ChargeID string    `json:"charge_id" db:"charge_id"`
	Key      string    `json:"key" db:"key"` // the caller's idempotency key, or empty
}

// Reply is the stored answer of an idempotency key.
type Reply struct {
	Path      string `db:"path"`
	Params    []byte `db:"params"` // SHA-256 of the canonical form
	Status    int    `db:"status"`
	Body      []byte `db:"body"`
	RequestID string `db:"request_id"`
	Created   int64  `db:"created"` // unix seconds
}

// Query selects a page of one kind. Until must be set; the zero value of another field does not restrict.
type Query struct {
	Kind   string
	Where  map[string]any // fields of Data that must be equal
	Types  []string       // LIKE patterns for Data's field "type"
	From   int64          // created at or after
	Except map[string]any // fields of Data that must not all be equal
	Until  int64          // created at or before
	After  string         // the page follows this object, newest first
	Before string         // the page precedes this object
	Limit  int
}

// Ledger is the sandbox's schema in a database.
type Ledger struct{ db *pg.DB }

// Open makes the tables in the schema "stripe_<schema of db>" where they are missing. Servers that start
// together wait for each other.
func Open(ctx context.Context, db *pg.DB) (*Ledger, error) {
	l := &Ledger{db: db.In("stripe_" + string(db.Schema()))}
	return l, l.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		return createTables(ctx, tx, l.db.Schema())
	})
}

// Tx runs fn in one transaction. fn may run again after a deadlock.
func (l *Ledger) Tx(ctx context.Context, fn func(context.Context, *Tx) error) error {
	return l.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		return fn(ctx, &Tx{tx: tx, schema: string(l.db.Schema())})
	})
}

// Moves returns the journal after seq, oldest first, at most limit rows.
func (l *Ledger) Moves(ctx context.Context, after int64, limit int) ([]Move, error) {
	moves := []Move{}
	return moves, l.db.Select(ctx, &moves, selectMoves, after, limit)
}

// Tx is one transaction of the sandbox.
type Tx struct {
	tx     *pg.Tx
	schema string
}

// Insert stores a new object.
func (t *Tx) Insert(ctx context.Context, o Object) error {
	_, err := t.tx.Exec(ctx, insertObject, o.ID, o.Kind, o.Created, string(o.Data), string(o.Hidden))
	return err
}

// Update replaces Data and Hidden of an object that this transaction has locked.
func (t *Tx) Update(ctx context.Context, o Object) error {
	_, err := t.tx.Exec(ctx, updateObject, o.ID, string(o.Data), string(o.Hidden))
	return err
}

// Find returns an object; the fault pg.no_rows when there is none of that kind.
func (t *Tx) Find(ctx context.Context, kind, id string) (Object, error) {
	var o Object
	return o, t.tx.Get(ctx, &o, selectObject, kind, id)
}

// Lock is Find, and keeps other transactions from changing the object until this one ends.
func (t *Tx) Lock(ctx context.Context, kind, id string) (Object, error) {
	var o Object
	return o, t.tx.Get(ctx, &o, lockObject, kind, id)
}

// Due locks and returns the objects of a kind whose hidden "due" (unix seconds) has come.
func (t *Tx) Due(ctx context.Context, kind string, now int64) ([]Object, error) {
	var due []Object
	return due, t.tx.Select(ctx, &due, lockDueObjects, kind, now)
}

// List returns a page, newest first, and whether more objects follow in the direction of reading.
func (t *Tx) List(ctx context.Context, q Query) ([]Object, bool, error) {
	where, err := json.Marshal(q.Where)
	if err != nil {
		return nil, false, fault.From(err)
	}
	if q.Where == nil {
		where = []byte("{}")
	}
	except, err := json.Marshal(q.Except)
	if err != nil {
		return nil, false, fault.From(err)
	}
	statement, edge := listNewest, q.After
	if q.Before != "" {
		statement, edge = listOldest, q.Before
	}
	page := []Object{}
	err = t.tx.Select(ctx, &page, statement,
		q.Kind, string(where), pg.Array(q.Types), q.From, q.Until, edge, q.Limit+1, string(except))
	if err != nil {
		return nil, false, err
	}
	more := len(page) > q.Limit
	if more && q.Before != "" {
		page = page[1:] // read backwards, then turned: the surplus is in front
	} else if more {
		page = page[:q.Limit]
	}
	return page, more, nil
}

// Move adds to the journal; Seq is given by the database.
func (t *Tx) Move(ctx context.Context, m Move) error {
	_, err := t.tx.Exec(ctx, insertMove, m.At, m.Op, m.Amount, m.Currency, m.ObjectID, m.ChargeID, m.Key)
	return err
}

// Balance returns what the journal sums up to, by currency.
func (t *Tx) Balance(ctx context.Context) (map[string]int64, error) {
	sums := map[string]int64{}
	return sums, t.tx.Each(ctx, selectBalance, nil, func(r pg.Row) error {
		var currency string
		var amount int64
		err := r.Scan(&currency, &amount)
		sums[currency] = amount
		return pg.Fault(err)
	})
}

// TakeKey reserves an idempotency key until the transaction ends; false when another one holds it. The
// reservation dies with the connection.
func (t *Tx) TakeKey(ctx context.Context, key string) (bool, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.schema + "\x00" + key))
	var got bool
	return got, t.tx.Get(ctx, &got, tryKey, int64(h.Sum64())) //nolint:gosec // only the bits count
}

// Alone keeps other transactions that say the same name waiting until this one ends.
func (t *Tx) Alone(ctx context.Context, name string) error {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.schema + "\x00alone\x00" + name))
	_, err := t.tx.Exec(ctx, takeSchemaLock, int64(h.Sum64())) //nolint:gosec // only the bits count
	return err
}

// Reply returns what is stored under the key and not older than since, which is on the real clock; nil
// when there is nothing. It also returns how far the sandbox's clock is ahead.
func (t *Tx) Reply(ctx context.Context, key string, since int64) (*Reply, time.Duration, error) {
	var row struct {
		Reply
		Ahead int64 `db:"ahead"`
	}
	if err := t.tx.Get(ctx, &row, selectReply, key, since); err != nil {
		return nil, 0, err
	}
	ahead := time.Duration(row.Ahead) * time.Microsecond
	if row.Path == "" {
		return nil, ahead, nil
	}
	return &row.Reply, ahead, nil
}

// SaveReply stores the answer of a key, in place of one that expired.
func (t *Tx) SaveReply(ctx context.Context, key string, r Reply) error {
	_, err := t.tx.Exec(ctx, upsertReply, key, r.Path, r.Params, r.Status, r.Body, r.RequestID, r.Created)
	return err
}

// PruneReplies deletes the replies older than before.
func (l *Ledger) PruneReplies(ctx context.Context, before int64) error {
	_, err := l.db.Exec(ctx, deleteReplies, before)
	return err
}
