package records_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"crema/server/core/acl"
	"crema/server/core/records"
)

// benchApp is an app with 2000 records, 50 of each batch number.
func benchApp(b *testing.B) *app {
	b.Helper()
	a := newApp(b)
	for batch := range 40 {
		entries := make([]string, 50)
		for i := range entries {
			entries[i] = fmt.Sprintf(`{"_id":"note/%d-%d","title":"Kenya AA","batch":%d,"price":12.5,"done":true,"at":{"$type":"date","$date":"2024-01-01T00:00:00Z"}}`, batch, i, batch)
		}
		if out := a.do(u1, "save", `{"records":[`+strings.Join(entries, ",")+`]}`); strings.Contains(out, "error") {
			b.Fatal(out)
		}
	}
	if _, err := a.db.Exec(b.Context(), "CREATE INDEX ON app.note (batch); ANALYZE app.note"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return a
}

func BenchmarkSave1(b *testing.B)   { benchmarkSave(b, 1) }
func BenchmarkSave100(b *testing.B) { benchmarkSave(b, 100) }

func benchmarkSave(b *testing.B, n int) {
	a := benchApp(b)
	ctx := acl.WithActor(b.Context(), u1)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			base := next.Add(int64(n))
			body := []byte{'['}
			for i := range int64(n) {
				if i > 0 {
					body = append(body, ',')
				}
				body = strconv.AppendInt(append(body, `{"_id":"note/x`...), base+i, 10)
				body = append(body, `","title":"Kenya AA","batch":-1,"price":12.5,"done":true,"at":{"$type":"date","$date":"2024-01-01T00:00:00Z"}}`...)
			}
			req, err := records.DecodeSave(records.Params{"records": append(body, ']')})
			if err != nil {
				b.Fatal(err)
			}
			results, err := a.svc.Save(ctx, req)
			if err != nil || len(results) != n || results[0].Err != nil {
				b.Fatal(err, results)
			}
			var out []byte
			for _, r := range results {
				out = records.AppendResult(out, r, wire)
			}
		}
	})
}

// BenchmarkFloorInsert is what a bare prepared INSERT of the same columns costs.
func BenchmarkFloorInsert(b *testing.B) {
	a := benchApp(b)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.db.Exec(b.Context(), `INSERT INTO app.note (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, title, batch, price, done, at)
				VALUES ($1, '', $2, NULL, $3, $2, $3, $2, $4, $5, $6, $7, $8)`,
				"y"+strconv.FormatInt(next.Add(1), 10), "U1", "2024-01-01", "Kenya AA", -1, 12.5, true, "2024-01-01"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkQuery50(b *testing.B) {
	a := benchApp(b)
	ctx := acl.WithActor(b.Context(), u1)
	p := records.Params{"record_type": json.RawMessage(`"note"`), "limit": json.RawMessage("50"), "predicate": json.RawMessage(`["eq",{"$type":"keypath","$val":"batch"},7]`)}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			q, err := records.DecodeQuery(p)
			if err != nil {
				b.Fatal(err)
			}
			page, err := a.svc.Query(ctx, q)
			if err != nil || len(page.Records) != 50 {
				b.Fatal(err, len(page.Records))
			}
			records.AppendPage(make([]byte, 0, 20000), page)
		}
	})
}

type floorRow struct {
	ID        string `json:"_id" db:"_id"`
	Owner     string `json:"_ownerID" db:"_owner_id"`
	CreatedAt string `json:"_created_at" db:"_created_at"`
	UpdatedAt string `json:"_updated_at" db:"_updated_at"`
	Title     string `json:"title"`
	Batch     float64
	Price     float64
	Done      bool
	At        string
}

// BenchmarkFloorSelect is what selecting and encoding the same rows by hand costs.
func BenchmarkFloorSelect(b *testing.B) {
	a := benchApp(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var rows []floorRow
			if err := a.db.Select(b.Context(), &rows, "SELECT _id, _owner_id, _created_at, _updated_at, title, batch, price, done, at FROM app.note WHERE batch = $1 LIMIT 50", 7); err != nil || len(rows) != 50 {
				b.Fatal(err)
			}
			if _, err := json.Marshal(rows); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFetch1(b *testing.B) {
	a := benchApp(b)
	ctx := acl.WithActor(b.Context(), u1)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			results, err := a.svc.Fetch(ctx, records.IDsRequest{IDs: []string{"note/7-7"}})
			if err != nil || results[0].Err != nil {
				b.Fatal(err)
			}
			records.AppendResult(nil, results[0], wire)
		}
	})
}
