package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/lib/pq" // the floor is measured with the bare driver
)

// The floor's own environment.
const (
	addrVariable = "CREMA_BENCH_ADDR"
	siteVariable = "CREMA_BENCH_SITE"
	wireVariable = "CREMA_BENCH_WIRE" // not empty: the floor of the wire's cases
)

// The statements of the floor, on tables with the columns and indexes of the server's own.
const (
	insertSale = `INSERT INTO floor.sale
		(_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, email, product, price, paid, sold_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	insertSales = `INSERT INTO floor.sale
		(_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, email, product, price, paid, sold_at)
		SELECT id, '', $1, access, $2, $1, $2, $1, email, product, price, paid, sold_at
		FROM unnest($3::text[], $4::jsonb[], $5::text[], $6::text[], $7::float8[], $8::bool[], $9::timestamp[])
			AS new(id, access, email, product, price, paid, sold_at)`
	selectBeans = `SELECT _id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by,
		name, organic, price, roasted_at, roaster, shelf FROM floor.bean WHERE shelf = $1 LIMIT 50`
)

// floor is the handlers that somebody would write who needs nothing else than this one answer.
type floor struct {
	insert, insertAll, query *sql.Stmt
}

// runFloor serves the floor until it is killed.
func runFloor() int {
	h, err := newFloor(os.Getenv("DATABASE_URL"), os.Getenv(siteVariable))
	if err == nil {
		err = http.ListenAndServe(os.Getenv(addrVariable), h)
	}
	fmt.Fprintln(os.Stderr, "floor:", err)
	return 1
}

func newFloor(url, site string) (http.Handler, error) {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	r := chi.NewRouter()
	r.Get("/healthz", func(http.ResponseWriter, *http.Request) {})
	if os.Getenv(wireVariable) != "" {
		wire, err := newWireFloor(db)
		if err == nil {
			wire.register(r)
		}
		return r, err
	}
	var f floor
	for text, into := range map[string]**sql.Stmt{insertSale: &f.insert, insertSales: &f.insertAll, selectBeans: &f.query} {
		if *into, err = db.Prepare(text); err != nil {
			return nil, err
		}
	}
	r.Post("/lambda/echo", handle(echo))
	r.Post("/save", handle(f.save))
	r.Post("/saves", handle(f.saveAll))
	r.Post("/query", handle(f.find))
	r.Handle("/static/*", http.StripPrefix("/static/", http.FileServer(http.Dir(site))))
	return r, nil
}

// handle decodes a body into an In and encodes what fn makes of it.
func handle[In, Out any](fn func(*http.Request, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out, err := fn(r, in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer[Out]{out})
	}
}

type answer[T any] struct {
	Result T `json:"result"`
}

type echoBody struct {
	Message string `json:"message"`
	Count   int    `json:"count"`
}

func echo(_ *http.Request, in echoBody) (echoBody, error) { return in, nil }

type date struct {
	Type string    `json:"$type"`
	Date time.Time `json:"$date"`
}

// meta is what every record has.
type meta struct {
	ID        string          `json:"_id"`
	Type      string          `json:"_type"`
	Access    json.RawMessage `json:"_access"`
	Owner     string          `json:"_ownerID"`
	CreatedAt time.Time       `json:"_created_at"`
	CreatedBy string          `json:"_created_by"`
	UpdatedAt time.Time       `json:"_updated_at"`
	UpdatedBy string          `json:"_updated_by"`
}

type sale struct {
	meta
	Email   string  `json:"email"`
	Product string  `json:"product"`
	Price   float64 `json:"price"`
	Paid    bool    `json:"paid"`
	SoldAt  date    `json:"sold_at"`
}

type saveBody struct {
	Records []sale `json:"records"`
}

func (f *floor) save(r *http.Request, in saveBody) ([]sale, error) {
	if len(in.Records) != 1 {
		return nil, fmt.Errorf("%d records", len(in.Records))
	}
	return insertOne(r.Context(), f.insert, in.Records[0], owner)
}

// saveAll saves many sales by one statement.
func (f *floor) saveAll(r *http.Request, in saveBody) ([]sale, error) {
	var (
		ids, access, emails, products []string
		prices                        []float64
		paid                          []bool
		sold                          []time.Time
	)
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range in.Records {
		s := &in.Records[i]
		ids, access, emails, products = append(ids, s.ID[len("sale/"):]), append(access, string(s.Access)), append(emails, s.Email), append(products, s.Product)
		prices, paid, sold = append(prices, s.Price), append(paid, s.Paid), append(sold, s.SoldAt.Date)
		s.Type, s.Owner, s.CreatedBy, s.UpdatedBy, s.CreatedAt, s.UpdatedAt = "record", owner, owner, owner, now, now
	}
	_, err := f.insertAll.ExecContext(r.Context(), owner, now, pq.Array(ids), pq.Array(access), pq.Array(emails), pq.Array(products),
		pq.Array(prices), pq.Array(paid), pq.Array(sold))
	return in.Records, err
}

func insertOne(ctx context.Context, insert *sql.Stmt, s sale, owner string) ([]sale, error) {
	s.Owner, s.CreatedBy, s.UpdatedBy = owner, owner, owner
	s.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	s.UpdatedAt = s.CreatedAt
	_, err := insert.ExecContext(ctx, s.ID[len("sale/"):], "", s.Owner, []byte(s.Access), s.CreatedAt, s.CreatedBy,
		s.UpdatedAt, s.UpdatedBy, s.Email, s.Product, s.Price, s.Paid, s.SoldAt.Date)
	s.Type = "record"
	return []sale{s}, err
}

type bean struct {
	meta
	Name      string  `json:"name"`
	Organic   bool    `json:"organic"`
	Price     float64 `json:"price"`
	RoastedAt date    `json:"roasted_at"`
	Roaster   string  `json:"roaster"`
	Shelf     float64 `json:"shelf"`
}

// queryBody has the predicate in its wire form: ["eq", {key path}, 123].
type queryBody struct {
	Predicate []any `json:"predicate"`
}

func (f *floor) find(r *http.Request, in queryBody) ([]bean, error) {
	if len(in.Predicate) != 3 {
		return nil, fmt.Errorf("%d parts of a predicate", len(in.Predicate))
	}
	return readBeans(f.query.QueryContext(r.Context(), in.Predicate[2]))
}

func readBeans(rows *sql.Rows, err error) ([]bean, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	beans := []bean{}
	for rows.Next() {
		b := bean{meta: meta{Type: "record"}, RoastedAt: date{Type: "date"}}
		if err := rows.Scan(&b.ID, &b.Owner, (*[]byte)(&b.Access), &b.CreatedAt, &b.CreatedBy, &b.UpdatedAt, &b.UpdatedBy,
			&b.Name, &b.Organic, &b.Price, &b.RoastedAt.Date, &b.Roaster, &b.Shelf); err != nil {
			return nil, err
		}
		b.ID = "bean/" + b.ID
		beans = append(beans, b)
	}
	return beans, rows.Err()
}
