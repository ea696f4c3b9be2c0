package pg

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"crema/server/base/fault"
)

// Config says which database and which schema of it.
type Config struct {
	URL       string // postgres://...; sslmode is added where it is missing
	ListenURL string // of the same database, past a pooler that hands out transactions; "": URL
	Schema    string // of the app
	MaxConns  int    // 0: 32
}

// DB is a pool bound to one schema. It is safe for concurrent use.
type DB struct {
	pool      *sqlx.DB
	url       string
	listening *listening
	schema    Ident
	binder    *binder
	stmts     *statements
	through   chan struct{} // a place for each statement of ExecThrough that goes on when its context ends
}

// Querier is what DB and Tx share.
type Querier interface {
	// Get reads exactly one row into dst; none is the fault pg.no_rows.
	Get(ctx context.Context, dst any, q string, args ...any) error
	// Select reads all rows into the slice dst points to.
	Select(ctx context.Context, dst any, q string, args ...any) error
	// Exec returns the number of rows touched.
	Exec(ctx context.Context, q string, args ...any) (int64, error)
	// Each calls scan for every row; an error of scan ends it and is returned as it is.
	Each(ctx context.Context, q string, args []any, scan func(Row) error) error
}

// Row is the current row inside Each.
type Row interface {
	Scan(dst ...any) error
	StructScan(dst any) error
}

// Open connects and checks the connection. It fails with pg.unavailable or, for a URL that cannot be
// read, with pg.bad_url; neither shows the password.
func Open(ctx context.Context, c Config) (*DB, error) {
	u, err := normalize(c.URL)
	if err != nil {
		return nil, err
	}
	listen, err := normalize(cmp.Or(c.ListenURL, c.URL))
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnector(u)
	if err != nil {
		return nil, fault.New(fault.NotConfigured, "pg.bad_url", "DATABASE_URL is not understood by the driver; write postgres://user:password@host:port/database?sslmode=...")
	}
	pool := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	n := c.MaxConns
	if n == 0 {
		n = 32
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		_ = pool.Close()
		return nil, Fault(err)
	}
	db := &DB{pool: pool, url: u, listening: newListening(listen), through: make(chan struct{}, n/2)}
	return db.In(c.Schema), nil
}

// normalize makes sure that the URL says how to treat TLS: off for this machine, else on.
func normalize(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", fault.New(fault.NotConfigured, "pg.bad_url", "DATABASE_URL must look like postgres://user:password@host:port/database")
	}
	q := u.Query()
	if !q.Has("sslmode") {
		q.Set("sslmode", "require")
		if h := u.Hostname(); h == "" || h == "localhost" || strings.HasPrefix(h, "127.") || h == "::1" {
			q.Set("sslmode", "disable")
		}
	}
	if !q.Has("connect_timeout") {
		q.Set("connect_timeout", "5")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// In returns a DB on the same pool for another schema.
func (db *DB) In(schema string) *DB {
	in := *db
	in.schema, in.binder, in.stmts = Ident(schema), newBinder(Ident(schema)), newStatements(db.pool)
	return &in
}

// Schema returns the schema that "app." stands for.
func (db *DB) Schema() Ident { return db.schema }

// URL returns the normalized URL, password included. Never log it.
func (db *DB) URL() string { return db.url }

// Ping asks the database for a sign of life.
func (db *DB) Ping(ctx context.Context) error { return Fault(db.pool.PingContext(ctx)) }

// Stats returns the pool's counters.
func (db *DB) Stats() sql.DBStats { return db.pool.Stats() }

// Close ends all connections.
func (db *DB) Close() error { return db.pool.Close() }

// Get implements Querier.
func (db *DB) Get(ctx context.Context, dst any, q string, args ...any) error {
	return db.stmts.use(ctx, db.binder.bind(q), func(s *sqlx.Stmt) error {
		return s.GetContext(ctx, dst, args...)
	})
}

// Select implements Querier.
func (db *DB) Select(ctx context.Context, dst any, q string, args ...any) error {
	return db.stmts.use(ctx, db.binder.bind(q), func(s *sqlx.Stmt) error {
		return s.SelectContext(ctx, dst, args...)
	})
}

// Exec implements Querier.
func (db *DB) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if len(args) == 0 { // may hold several commands, which cannot be prepared
		r, err := db.pool.ExecContext(ctx, db.binder.bind(q))
		return affected(r, err)
	}
	var n int64
	err := db.stmts.use(ctx, db.binder.bind(q), func(s *sqlx.Stmt) error {
		r, err := s.ExecContext(ctx, args...)
		n, err = affected(r, err)
		return err
	})
	return n, err
}

// ExecThrough is Exec for one short statement that may as well end once it has begun: the end of ctx stops the wait for a
// connection, not the statement. That spares lib/pq a goroutine, a tenth of the CPU time of an INSERT. A lock of somebody
// else may hold up such statements for long, so at most half of the connections run them; further ones are as Exec.
func (db *DB) ExecThrough(ctx context.Context, q string, args ...any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, Fault(err)
	}
	select {
	case db.through <- struct{}{}:
		defer func() { <-db.through }()
		if s := db.pool.Stats(); s.InUse < s.MaxOpenConnections {
			ctx = context.WithoutCancel(ctx)
		}
	default:
	}
	return db.Exec(ctx, q, args...)
}

// Each implements Querier.
func (db *DB) Each(ctx context.Context, q string, args []any, scan func(Row) error) error {
	return db.stmts.use(ctx, db.binder.bind(q), func(s *sqlx.Stmt) error {
		rows, err := s.QueryxContext(ctx, args...)
		return each(rows, err, scan)
	})
}

// Search is Each for a statement whose best plan depends on its arguments. PostgreSQL soon plans what is prepared
// without looking at them; this one is planned each time, which costs one more round trip.
func (db *DB) Search(ctx context.Context, q string, args []any, scan func(Row) error) error {
	rows, err := db.pool.QueryxContext(ctx, db.binder.bind(q), args...)
	return each(rows, err, scan)
}

func each(rows *sqlx.Rows, err error, scan func(Row) error) error {
	if err != nil {
		return Fault(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return Fault(rows.Err())
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, Fault(err)
	}
	n, err := r.RowsAffected()
	return n, Fault(err)
}

// Array passes a slice as one array argument.
func Array(slice any) any { return pq.Array(slice) }

// Named says in errors and health checks which database this is, without credentials.
func (db *DB) Named() string {
	u, err := url.Parse(db.url)
	if err != nil {
		return "database"
	}
	host := u.Host
	if host == "" {
		host = u.Query().Get("host")
	}
	return fmt.Sprintf("%s%s", host, u.Path)
}
