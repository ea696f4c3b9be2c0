package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"crema/server/base/pg"
)

// What stands in the tables of the wire's cases. Of the records on a shelf five in six may be read by the shopper: all, because
// of a public entry, a role, or the shopper's own name, or because they are the shopper's. The sixth belongs to somebody else.
const (
	onShelf     = 60
	mostShelves = 900 // that requests ask for: their numbers have three digits
	fewRecords  = 1200
	shopper     = "ada"
	shopperRole = "barista"
	password    = "correct horse battery staple"
)

const fillBeans = `INSERT INTO app.%[1]s (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by,
		name, organic, price, roasted_at, roaster, shelf)
	SELECT gen_random_uuid()::text, '', CASE g / %[3]d %% 6 WHEN 4 THEN '%[4]s' ELSE 'owner-' || g %% 1000 END,
		CASE g / %[3]d %% 6 WHEN 0 THEN NULL WHEN 1 THEN '[{"level":"read","public":true}]'::jsonb
			WHEN 2 THEN '[{"level":"read","role":"barista"}]' WHEN 3 THEN '[{"level":"write","user_id":"%[4]s"}]' ELSE '[]' END,
		t.at, 'owner', t.at, 'owner', 'Kenya AA, lot ' || g, g %% 3 = 0, 8.75 + g %% 5, t.at, 'Röstwerk <Nord> & Söhne', %[5]d + g %% %[3]d
	FROM generate_series(0, %[2]d - 1) g, LATERAL (SELECT timestamp '2024-05-06 07:08:09' + g * interval '1 second' AS at) t`

// prepareWire returns the cases of Skygear's wire as a logged-in user has them: each request brings a token, and the access
// lists are in force.
func (b *bench) prepareWire(ctx context.Context, o options) ([]benchCase, error) {
	if err := b.startServer(ctx, o.root); err != nil {
		return nil, fmt.Errorf("the server: %w", err)
	}
	who, err := b.signUp()
	if err != nil {
		return nil, fmt.Errorf("signing up: %w", err)
	}
	if err := b.fillWire(ctx, who.UserID, o.rows); err != nil {
		return nil, fmt.Errorf("filling the tables: %w", err)
	}
	if err := b.startFloor(ctx, wireVariable+"=yes"); err != nil {
		return nil, fmt.Errorf("the floor: %w", err)
	}
	cost, err := bcryptTime()
	if err != nil {
		return nil, err
	}
	return b.wireCases(who.Token, cost, o)
}

func (b *bench) wireCases(token string, bcrypted time.Duration, o options) ([]benchCase, error) {
	auth := `"api_key":"` + apiKey + `","access_token":"` + token + `"`
	ours := func(r request) target { return target{b.ours, r, 1} }
	floor := func(r request) target { return target{b.floor, r, 1} }
	save := func(path string) request {
		return newRequest("POST", path, "", `{"action":"record:save",`+auth+`,"records":[`+saleJSON()+`]}`, keyMark, randomKey)
	}
	query := func(path, table, auth string, rows int) request {
		return newRequest("POST", path, "", `{"action":"record:query",`+auth+`,"record_type":"`+table+
			`","predicate":["eq",{"$type":"keypath","$val":"shelf"},`+shelfMark+`],"limit":50}`, shelfMark, shelfBelow(min(rows/onShelf, mostShelves)))
	}
	user := query("/", "bean", auth, o.rows)
	fetch := func(path string) request {
		return newRequest("POST", path, "", `{"action":"record:fetch",`+auth+`,"ids":["bean/`+b.known+`"]}`, "", nil)
	}
	login := func(path string) request {
		return newRequest("POST", path, "", `{"action":"auth:login","api_key":"`+apiKey+`","auth_data":{"username":"`+shopper+`"},"password":"`+password+`"}`, "", nil)
	}
	cases := []benchCase{
		{name: "save 1 record as a user", bar: 0.8, ours: ours(save("/")), floor: floor(save("/wire/save"))},
		{name: fmt.Sprintf("query 50 of %d as a user", o.rows), bar: 0.7, ours: ours(user), floor: floor(query("/wire/query", "bean", auth, o.rows))},
		{name: "fetch 1 record as a user", bar: 0.8, ours: ours(fetch("/")), floor: floor(fetch("/wire/fetch"))},
	}
	for _, c := range cases {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return append(cases,
		benchCase{name: "log in, apart from bcrypt", bar: 0.8, barUpTo: 1, apart: bcrypted, ours: ours(login("/")), floor: floor(login("/wire/login"))},
		benchCase{name: "... beside the master key's", bar: 1 / 1.15, ours: ours(user), floor: ours(query("/", "bean", `"api_key":"`+masterKey+`","access_token":"`+token+`"`, o.rows))},
		benchCase{name: fmt.Sprintf("... beside one of %d", fewRecords), bar: 0.9, ours: ours(user), floor: ours(query("/", "fewbean", auth, fewRecords))},
	), nil
}

// shelfBelow fills in the number of one of the first n shelves.
func shelfBelow(n int) func([]byte) {
	return func(place []byte) { strconv.AppendInt(place[:0], int64(firstID+rand.IntN(n)), 10) }
}

// account is what a sign-up gives.
type account struct {
	UserID string `json:"user_id"`
	Token  string `json:"access_token"`
}

func (b *bench) signUp() (account, error) {
	var a struct{ Result account }
	text, err := ask(b.ours.addr, newRequest("POST", "/", "", `{"action":"auth:signup","api_key":"`+apiKey+`","auth_data":{"username":"`+shopper+`"},"password":"`+password+`"}`, "", nil))
	if err == nil {
		err = json.Unmarshal([]byte(text), &a)
	}
	if err == nil {
		_, err = ask(b.ours.addr, newRequest("POST", "/", "", `{"action":"role:assign","api_key":"`+masterKey+`","roles":["`+shopperRole+`"],"users":["`+a.Result.UserID+`"]}`, "", nil))
	}
	return a.Result, err
}

// fillWire makes one record through the server, which makes its type, and the rest by hand: a million saves take long.
func (b *bench) fillWire(ctx context.Context, user string, rows int) error {
	for _, body := range []string{saveJSON(1), beansJSON(firstID), strings.ReplaceAll(beansJSON(firstID), "bean/", "fewbean/")} {
		if _, err := ask(b.ours.addr, newRequest("POST", "/", "", body, keyMark, randomKey)); err != nil {
			return err
		}
	}
	db, err := pg.Open(ctx, pg.Config{URL: b.url, Schema: "app_bench", MaxConns: 1})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	if _, err := db.Exec(ctx, "UPDATE app._auth SET password = $1 WHERE id = $2", string(hash), user); err != nil {
		return err
	}
	statements := []string{"TRUNCATE app.bean, app.fewbean, app.sale", "CREATE SCHEMA floor", "CREATE TABLE floor.sale (LIKE app.sale INCLUDING ALL)"}
	for table, n := range map[string]int{"bean": rows, "fewbean": fewRecords} {
		statements = append(statements, fmt.Sprintf(fillBeans, table, n, n/onShelf, user, firstID), "CREATE INDEX ON app."+table+" (shelf)", "VACUUM ANALYZE app."+table)
	}
	for _, q := range statements {
		if _, err := db.Exec(ctx, q); err != nil {
			return fmt.Errorf("%.80s: %w", q, err)
		}
	}
	if err := db.Get(ctx, &b.known, "SELECT _id FROM app.bean WHERE _access IS NULL LIMIT 1"); err != nil {
		return err
	}
	return db.Get(ctx, &b.version, "SELECT current_setting('server_version')")
}

// bcryptTime is how long comparing a password takes at the least cost, which the shopper's hash has here.
func bcryptTime() (time.Duration, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	const times = 50
	start := time.Now()
	for range times {
		if err == nil {
			err = bcrypt.CompareHashAndPassword(hash, []byte(password))
		}
	}
	return time.Since(start) / times, err
}
