package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/lib/pq"
	"golang.org/x/crypto/bcrypt"
)

// The statements of the wire's floor: those of the server, on its own tables.
const (
	floorRoles = `LEFT JOIN LATERAL (
	SELECT array_agg(ar.role_id ORDER BY ar.role_id COLLATE "C") AS names, bool_or(r.is_admin) AS admin
	FROM app_bench._auth_role ar JOIN app_bench._role r ON r.id = ar.role_id WHERE ar.auth_id = a.id
) r ON true`
	floorSession = `SELECT t.auth_id, t.issued_at, coalesce(a.disabled, false), a.token_valid_since, coalesce(r.names, '{}')
	FROM app_bench._access_token t LEFT JOIN app_bench._auth a ON a.id = t.auth_id ` + floorRoles + `
	WHERE t.hash = $1 AND (t.expires_at IS NULL OR t.expires_at > $2)`
	floorBeans = `SELECT t._id, t._owner_id, t._access, t._created_at, t._created_by, t._updated_at, t._updated_by,
		t.name, t.organic, t.price, t.roasted_at, t.roaster, t.shelf FROM app_bench.bean t`
	floorAllowed = `(t._owner_id = $2::text OR coalesce(t._access, '[{"level":"write","public":true}]'::jsonb) @> ANY($1::jsonb[]))`
	floorQuery   = floorBeans + ` WHERE t._database_id = '' AND ` + floorAllowed + ` AND t.shelf = $3 LIMIT 50`
	floorFetch   = floorBeans + ` WHERE t._id = ANY($3::text[]) AND t._database_id = '' AND ` + floorAllowed
	floorAccount = `SELECT a.id, a.password, coalesce(a.disabled, false), a.last_seen_at, u.last_login_at, coalesce(r.names, '{}'),
		(SELECT count(*) FROM (SELECT 1 FROM app_bench._login_failure f WHERE f.at > $3 AND f.counted = coalesce('account:' || a.id, $1) LIMIT 10000) n),
		(SELECT count(*) FROM (SELECT 1 FROM app_bench._login_failure f WHERE f.at > $3 AND f.counted = $2 LIMIT 10000) n)
	FROM (VALUES (1)) one LEFT JOIN (app_bench."user" u JOIN app_bench._auth a ON a.id = u._id) ON u._database_id = '' AND u.username = $4 ` + floorRoles
	floorUser = `SELECT t._id, t._owner_id, t._access, t._created_at, t._created_by, t._updated_at, t._updated_by, t.username, t.last_login_at
	FROM app_bench."user" t WHERE t._id = ANY($1::text[]) AND t._database_id = ''`
	floorLogIn = `WITH account AS (
	UPDATE app_bench._auth SET last_seen_at = $2 WHERE id = $1 AND password IS NOT DISTINCT FROM $3 RETURNING id
), swept AS (
	DELETE FROM app_bench._access_token WHERE hash IN (
		SELECT hash FROM app_bench._access_token WHERE expires_at < $2 LIMIT 4 FOR UPDATE SKIP LOCKED)
), issued AS (
	INSERT INTO app_bench._access_token (hash, auth_id, issued_at, expires_at) SELECT $4, id, $2, $5 FROM account
), stamped AS (
	UPDATE app_bench."user" u SET last_login_at = $2, _updated_at = $2, _updated_by = $1 FROM account WHERE u._id = account.id AND u._database_id = ''
) SELECT count(*) FROM account`
)

// wireFloor is the handlers of somebody who has the same tables and needs these four answers.
type wireFloor struct {
	session, insert, query, fetch, account, user, logIn *sql.Stmt
}

func newWireFloor(db *sql.DB) (*wireFloor, error) {
	f := &wireFloor{}
	for text, into := range map[string]**sql.Stmt{
		floorSession: &f.session, insertSale: &f.insert, floorQuery: &f.query, floorFetch: &f.fetch,
		floorAccount: &f.account, floorUser: &f.user, floorLogIn: &f.logIn,
	} {
		var err error
		if *into, err = db.Prepare(text); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *wireFloor) register(r chi.Router) {
	r.Post("/wire/save", handle(f.save))
	r.Post("/wire/query", handle(f.find))
	r.Post("/wire/fetch", handle(f.get))
	r.Post("/wire/login", handle(f.login))
}

// caller is who the token of a request stands for.
type caller struct {
	id     string
	grants any // what an access list has to contain
}

func (f *wireFloor) caller(ctx context.Context, token string) (caller, error) {
	var c caller
	var issued time.Time
	var since *time.Time
	var disabled bool
	var roles []string
	hash := sha256.Sum256([]byte(token))
	err := f.session.QueryRowContext(ctx, hash[:], time.Now().UTC()).Scan(&c.id, &issued, &disabled, &since, pq.Array(&roles))
	if err != nil || disabled {
		return c, fmt.Errorf("the token: %w", err)
	}
	grants := []string{`[{"public":true}]`, `[{"user_id":"` + c.id + `"}]`}
	for _, r := range roles {
		grants = append(grants, `[{"role":"`+r+`"}]`)
	}
	c.grants = pq.Array(grants)
	return c, nil
}

type wireBody struct {
	Token     string `json:"access_token"`
	Records   []sale `json:"records"`
	Predicate []any  `json:"predicate"`
	IDs       []string
	AuthData  struct{ Username string } `json:"auth_data"`
	Password  string
}

func (f *wireFloor) save(r *http.Request, in wireBody) ([]sale, error) {
	c, err := f.caller(r.Context(), in.Token)
	if err != nil || len(in.Records) != 1 {
		return nil, err
	}
	return insertOne(r.Context(), f.insert, in.Records[0], c.id)
}

func (f *wireFloor) find(r *http.Request, in wireBody) ([]bean, error) {
	c, err := f.caller(r.Context(), in.Token)
	if err != nil || len(in.Predicate) != 3 {
		return nil, err
	}
	return readBeans(f.query.QueryContext(r.Context(), c.grants, c.id, in.Predicate[2]))
}

func (f *wireFloor) get(r *http.Request, in wireBody) ([]bean, error) {
	c, err := f.caller(r.Context(), in.Token)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(in.IDs))
	for i, id := range in.IDs {
		keys[i] = id[len("bean/"):]
	}
	return readBeans(f.fetch.QueryContext(r.Context(), c.grants, c.id, pq.Array(keys)))
}

type loggedIn struct {
	UserID  string   `json:"user_id"`
	Profile person   `json:"profile"`
	Roles   []string `json:"roles"`
	Token   string   `json:"access_token"`
	Login   *string  `json:"last_login_at"`
	Seen    *string  `json:"last_seen_at"`
}

type person struct {
	meta
	Username string `json:"username"`
	Login    date   `json:"last_login_at"`
}

func (f *wireFloor) login(r *http.Request, in wireBody) (loggedIn, error) {
	var out loggedIn
	var hash string
	var disabled bool
	var failures, others int
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := f.account.QueryRowContext(r.Context(), "name:"+in.AuthData.Username, "address:floor", now.Add(-15*time.Minute), in.AuthData.Username).
		Scan(&out.UserID, &hash, &disabled, &out.Seen, &out.Login, pq.Array(&out.Roles), &failures, &others)
	if err == nil {
		err = bcrypt.CompareHashAndPassword([]byte(hash), []byte(in.Password))
	}
	if err != nil || disabled {
		return out, fmt.Errorf("the log-in: %w", err)
	}
	p := &out.Profile
	p.Type, p.Login.Type = "record", "date"
	err = f.user.QueryRowContext(r.Context(), pq.Array([]string{out.UserID})).Scan(&p.ID, &p.Owner, (*[]byte)(&p.Access), &p.CreatedAt, &p.CreatedBy,
		&p.UpdatedAt, &p.UpdatedBy, &p.Username, &p.Login.Date)
	if err != nil {
		return out, err
	}
	token := make([]byte, 32)
	_, _ = rand.Read(token) // it does not fail
	out.Token = base64.RawURLEncoding.EncodeToString(token)
	sum := sha256.Sum256([]byte(out.Token))
	var n int
	err = f.logIn.QueryRowContext(r.Context(), out.UserID, now, hash, sum[:], nil).Scan(&n)
	return out, err
}
