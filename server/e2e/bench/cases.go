package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"crema/server/base/pg"
)

// Keys of the measured server, and who its master key acts for.
const (
	apiKey    = "bench-api-key"
	masterKey = "bench-master-key"
	owner     = "barista"
)

// What stands in the tables of the query case: shelves have numbers of three digits.
const (
	shelves   = 400
	perShelf  = 50
	shelfMark = "#00"
	firstID   = 100
)

// benchCase is one line of the table for each number of connections.
type benchCase struct {
	name        string
	bar         float64       // the least ratio; 0: only reported
	slower      time.Duration // the most that p50 may be above the floor's with one connection; 0: only reported
	latest      time.Duration // the most that p99 may be; 0: only reported
	barFrom     int           // connections from which the bar holds
	barUpTo     int           // connections for which the bar holds; 0: all
	ours, floor target
	before      func(context.Context) error               // optional; prepares the machine
	run         func(context.Context) (comparison, error) // optional; measures in the place of rounds
	apart       time.Duration                             // what both sides spend in the same library on each request: not counted in the ratio
}

const access = `[{"level":"read","public":true}]`

func saleJSON() string {
	return `{"_id":"sale/` + keyMark + `","_access":` + access + `,"email":"ada@example.com","product":"Kenya AA, 200 g","price":10.5,` +
		`"paid":true,"sold_at":{"$type":"date","$date":"2024-05-06T07:08:09.123456Z"}}`
}

func saveJSON(n int) string {
	return `{"action":"record:save","api_key":"` + masterKey + `","_user_id":"` + owner + `","database_id":"_public","records":[` +
		strings.Join(slices.Repeat([]string{saleJSON()}, n), ",") + `]}`
}

const queryJSON = `{"action":"record:query","api_key":"` + apiKey + `","database_id":"_public","record_type":"bean",` +
	`"predicate":["eq",{"$type":"keypath","$val":"shelf"},` + shelfMark + `],"limit":50}`

func randomShelf(place []byte) { strconv.AppendInt(place[:0], int64(firstID+rand.IntN(shelves)), 10) }

// echoOf calls a function that returns its arguments, a text of times 30 bytes and a number.
func echoOf(name string, times int) request {
	return newRequest("POST", "/lambda/"+name, "X-Skygear-Api-Key: "+apiKey+"\r\n",
		`{"message":"`+strings.Repeat("Two bags of Kenya AA, please. ", times)+`","count":2}`, "", nil)
}

// prepare fills the tables and returns the cases, each of which has given the same answer on both sides.
func (b *bench) prepare(ctx context.Context, o options) ([]benchCase, error) {
	if err := b.startServer(ctx, o.root); err != nil {
		return nil, fmt.Errorf("the server: %w", err)
	}
	if err := b.fill(ctx); err != nil {
		return nil, fmt.Errorf("filling the tables: %w", err)
	}
	if err := b.startFloor(ctx); err != nil {
		return nil, fmt.Errorf("the floor: %w", err)
	}
	echo := func(times int) request { return echoOf("echo", times) }
	save := func(path string, n int) request { return newRequest("POST", path, "", saveJSON(n), keyMark, randomKey) }
	query := func(path string) request { return newRequest("POST", path, "", queryJSON, shelfMark, randomShelf) }
	file := func(headers string) request { return newRequest("GET", "/static/"+fileName, headers, "", "", nil) }
	ours := func(r request) target { return target{b.ours, r, 1} }
	floor := func(r request) target { return target{b.floor, r, 1} }
	cases := []benchCase{
		// As much as the arguments of a checkout with four lines; and the smallest call that there is, where what every
		// request gets from the stack weighs most.
		{name: "function echo, 0.5 KB", bar: 0.85, ours: ours(echo(16)), floor: floor(echo(16))},
		{name: "function echo, 50 bytes", bar: 0.85, ours: ours(echo(1)), floor: floor(echo(1))},
		{name: "save 1 record", bar: 0.85, ours: ours(save("/", 1)), floor: floor(save("/save", 1))},
		{name: "query 50 of 20,000 records", bar: 0.70, ours: ours(query("/")), floor: floor(query("/query"))},
		{name: "file of 100 KiB", bar: 0.90, ours: ours(file("")), floor: floor(file(""))},
	}
	for _, c := range cases {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	gzip, br := file("Accept-Encoding: gzip\r\n"), file("Accept-Encoding: br, gzip\r\n")
	batch := benchCase{name: "save 100 at once, in records", bar: 15, barUpTo: 1, ours: target{b.ours, save("/", 100), 100}, floor: ours(save("/", 1))}
	// One client that has 100 records: in one save, or one after the other. Several clients with single saves share the
	// waiting for the disk and the line, which leaves only the work itself.
	flushed := batch
	flushed.name = "the same, a flush takes 1 ms"
	flushed.before = func(ctx context.Context) error { return b.slowFlush(ctx, time.Millisecond) }
	return append(cases,
		benchCase{name: "the file, gzip taken", ours: ours(gzip), floor: floor(gzip)},
		benchCase{name: "the file, br taken", ours: ours(br), floor: floor(br)},
		batch,
		benchCase{name: "100 at once, bare handler", ours: target{b.floor, save("/saves", 100), 100}, floor: floor(save("/save", 1))},
		flushed,
	), nil
}

// slowFlush makes every flush of PostgreSQL's log at least this long, as a disk does that has no memory to answer from.
func (b *bench) slowFlush(ctx context.Context, d time.Duration) error {
	db, err := pg.Open(ctx, pg.Config{URL: b.url, Schema: "public", MaxConns: 1})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	for _, statement := range []string{
		"ALTER SYSTEM SET commit_siblings = 0", fmt.Sprintf("ALTER SYSTEM SET commit_delay = %d", d.Microseconds()), "SELECT pg_reload_conf()",
	} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// check holds the answers of both sides beside each other: what differs must be what has to differ.
func (c benchCase) check() error {
	one := c.ours.req.own()
	one.next()
	one.marks = nil // both get the same request
	ours, err := ask(c.ours.server.addr, one)
	if err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	same := c.floor.req.own()
	for i, at := range c.ours.req.marks {
		to := c.floor.req.marks[i]
		copy(same.text[to:to+c.floor.req.width], one.text[at:])
	}
	same.marks = nil
	floor, err := ask(c.floor.server.addr, same)
	if err != nil {
		return fmt.Errorf("the floor: %w", err)
	}
	if ours != floor && !reflect.DeepEqual(sortedByID(ours), sortedByID(floor)) {
		return fmt.Errorf("the answers differ:\n%.600s\n%.600s", ours, floor)
	}
	return nil
}

// sortedByID reads an answer without the times of a save and with records in the order of their ids.
func sortedByID(body string) any {
	var a struct{ Result any }
	if json.Unmarshal([]byte(body), &a) != nil {
		return body
	}
	list, ok := a.Result.([]any)
	if !ok {
		return a.Result
	}
	byID := map[string]any{}
	for _, v := range list {
		r, _ := v.(map[string]any)
		delete(r, "_created_at")
		delete(r, "_updated_at")
		byID[fmt.Sprint(r["_id"])] = r
	}
	return byID
}

// fill saves the records of the query case through the server, and copies its tables for the floor.
func (b *bench) fill(ctx context.Context) error {
	if _, err := ask(b.ours.addr, newRequest("POST", "/", "", saveJSON(1), keyMark, randomKey)); err != nil {
		return err
	}
	for shelf := range shelves {
		if _, err := ask(b.ours.addr, newRequest("POST", "/", "", beansJSON(firstID+shelf), keyMark, randomKey)); err != nil {
			return err
		}
	}
	db, err := pg.Open(ctx, pg.Config{URL: b.url, Schema: "app_bench"})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	for _, q := range []string{
		"CREATE INDEX ON app.bean (shelf)",
		"DELETE FROM app.sale",
		"CREATE SCHEMA floor",
		"CREATE TABLE floor.sale (LIKE app.sale INCLUDING ALL)",
		"CREATE TABLE floor.bean (LIKE app.bean INCLUDING ALL)",
		"INSERT INTO floor.bean SELECT * FROM app.bean",
		"VACUUM ANALYZE app.bean",
		"VACUUM ANALYZE floor.bean",
	} {
		if _, err := db.Exec(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return db.Get(ctx, &b.version, "SELECT current_setting('server_version')")
}

func beansJSON(shelf int) string {
	records := make([]string, perShelf)
	for i := range records {
		records[i] = fmt.Sprintf(`{"_id":"bean/%s","_access":%s,"name":"Kenya AA, lot %d of shelf %d","roaster":"Röstwerk <Nord> & Söhne",`+
			`"price":%d.75,"organic":%t,"shelf":%d,"roasted_at":{"$type":"date","$date":"2024-05-06T07:08:%02dZ"}}`,
			keyMark, access, i, shelf, 8+i%5, i%3 == 0, shelf, i)
	}
	return `{"action":"record:save","api_key":"` + masterKey + `","_user_id":"` + owner + `","records":[` + strings.Join(records, ",") + `]}`
}

const fileName = "bench.js"

// writeSite makes the static site: one script of 100 KiB, which compresses as scripts do.
func writeSite(dir string) error {
	var b strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; b.Len() < 100<<10; i++ {
		fmt.Fprintf(&b, "export function step%d(order) { return order.total * %d + %q.length; }\n", i, random.IntN(1000), strconv.FormatUint(random.Uint64(), 36))
	}
	return os.WriteFile(filepath.Join(dir, fileName), []byte(b.String()[:100<<10]), 0o644)
}
