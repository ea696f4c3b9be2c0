package users

import (
	"context"
	"strconv"
	"strings"
	"time"

	"crema/server/base/pg"
)

const insertAccount = `INSERT INTO app._auth (id) VALUES ($1) ON CONFLICT (id) DO NOTHING`

// signUpAccount makes an account with its roles and its first token.
const signUpAccount = `WITH account AS (
	INSERT INTO app._auth (id, password, provider_info, token_valid_since, last_seen_at) VALUES ($1, $2, $3::jsonb, $4, $5) RETURNING id
), roles AS (
	INSERT INTO app._auth_role (auth_id, role_id) SELECT id, unnest($6::text[]) FROM account
) INSERT INTO app._access_token (hash, auth_id, issued_at, expires_at) SELECT $7, id, $5, $8 FROM account`

const deleteToken = `DELETE FROM app._access_token WHERE hash = $1`

const deleteTokensOf = `DELETE FROM app._access_token WHERE auth_id = $1`

const rolesAndAdmin = `LEFT JOIN LATERAL (
	SELECT array_agg(ar.role_id ORDER BY ar.role_id COLLATE "C") AS names, bool_or(r.is_admin) AS admin
	FROM app._auth_role ar JOIN app._role r ON r.id = ar.role_id WHERE ar.auth_id = a.id
) r ON true`

const selectSession = `SELECT t.auth_id, t.issued_at, a.id IS NULL, coalesce(a.disabled, false), a.disabled_message, a.disabled_expiry,
	a.token_valid_since, a.password IS NOT NULL, coalesce(r.names, '{}'), coalesce(r.admin, false)
	FROM app._access_token t LEFT JOIN app._auth a ON a.id = t.auth_id ` + rolesAndAdmin + `
	WHERE t.hash = $1 AND (t.expires_at IS NULL OR t.expires_at > $2)`

type sessionRow struct {
	userID   string
	issued   time.Time
	missing  bool
	standing standing
	roles    []string
	admin    bool
}

// read leaves the row empty when the token is unknown or has expired.
func (r *sessionRow) read(ctx context.Context, q pg.Querier, hash []byte, now time.Time) error {
	s := &r.standing
	return q.Each(ctx, selectSession, []any{hash, now}, func(row pg.Row) error {
		return row.Scan(&r.userID, &r.issued, &r.missing, &s.disabled, &s.message, &s.expiry, &s.validSince, &s.hasPassword, pg.Array(&r.roles), &r.admin)
	})
}

// account is what a log-in needs to know.
type account struct {
	id       string // "" when there is none
	password *string
	standing standing
	seen     *time.Time // last_seen_at
	login    *time.Time // last_login_at of the user record
	roles    []string
	failures failures
}

const accountColumns = `a.id, a.password, coalesce(a.disabled, false), a.disabled_message, a.disabled_expiry, a.token_valid_since,
	a.last_seen_at, u.last_login_at, coalesce(r.names, '{}')`

// Counting stops far above any limit.
const countFailures = `SELECT 1 FROM app._login_failure f WHERE f.at > $3 AND f.counted = `

func failureCounts(account string) string {
	return `, (SELECT count(*) FROM (` + countFailures + account + ` LIMIT 10000) n), (SELECT count(*) FROM (` + countFailures + `$2 LIMIT 10000) n)`
}

// selectAddressFailures counts what was refused to an address.
const selectAddressFailures = `SELECT count(*) FROM (SELECT 1 FROM app._login_failure f WHERE f.at > $2 AND f.counted = $1 LIMIT 10000) n`

func (a *account) read(ctx context.Context, q pg.Querier, text string, args ...any) error {
	var id *string
	s := &a.standing
	err := q.Each(ctx, text, args, func(row pg.Row) error {
		return row.Scan(&id, &a.password, &s.disabled, &s.message, &s.expiry, &s.validSince, &a.seen, &a.login, pg.Array(&a.roles),
			&a.failures.ofAccount, &a.failures.ofAddress)
	})
	if id != nil {
		a.id = *id
	}
	a.standing.hasPassword = a.password != nil
	return err
}

// selectByKeys finds an account by fields of its user, whose values are the arguments from $4 on. The
// arguments keep the types of the columns: citext finds any spelling. One row comes even for nobody.
func selectByKeys(keys []string) string {
	conditions := make([]string, len(keys))
	for i, k := range keys {
		conditions[i] = "u." + pg.Ident(k).SQL() + " = $" + strconv.Itoa(i+4)
	}
	return `SELECT ` + accountColumns + failureCounts(`coalesce('account:' || a.id, $1)`) + `
	FROM (VALUES (1)) one LEFT JOIN (app."user" u JOIN app._auth a ON a.id = u._id)
		ON u._database_id = '' AND ` + strings.Join(conditions, " AND ") + ` ` + rolesAndAdmin
}

// selectByID finds an account, whose user record may be missing.
var selectByID = `SELECT ` + accountColumns + failureCounts(`'account:' || a.id`) + `
	FROM app._auth a LEFT JOIN app."user" u ON u._id = a.id AND u._database_id = '' ` + rolesAndAdmin + ` WHERE a.id = $1`

// selectByProvider finds the account of a principal.
const selectByProvider = `SELECT id FROM app._auth WHERE provider_info ? $1 ORDER BY id LIMIT 1`

// lockName makes whoever works on the same name wait until the transaction ends.
const lockName = `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`

const updateProviderInfo = `UPDATE app._auth SET provider_info = coalesce(provider_info, '{}') || $2::jsonb WHERE id = $1`

// issueToken gives a token to an account whose password is still the one that was checked, and marks
// when it was last seen. Changing a password locks the row too: either it happens before, and nothing is
// issued, or after, and the token ends with the others.
const issueToken = `WITH account AS (
	UPDATE app._auth SET last_seen_at = $2 WHERE id = $1 AND password IS NOT DISTINCT FROM $3 RETURNING id
), swept AS (
	DELETE FROM app._access_token WHERE hash IN (
		SELECT hash FROM app._access_token WHERE expires_at < $2 LIMIT 4 FOR UPDATE SKIP LOCKED)
), issued AS (
	INSERT INTO app._access_token (hash, auth_id, issued_at, expires_at) SELECT $4, id, $2, $5 FROM account
)`

// issueAtLogIn also writes when the user logged in.
const issueAtLogIn = issueToken + `, stamped AS (
	UPDATE app."user" u SET last_login_at = $2, _updated_at = $2, _updated_by = $1 FROM account WHERE u._id = account.id AND u._database_id = ''
) SELECT count(*) FROM account`

// issueAgain needs the token that was shown to be still there.
const (
	issueAgain  = issueToken + ` SELECT count(*) FROM account`
	tokenExists = `SELECT EXISTS (SELECT FROM app._access_token WHERE hash = $1)`
)

const updatePassword = `UPDATE app._auth SET password = $2, token_valid_since = $3 WHERE id = $1 AND password IS NOT DISTINCT FROM $4`

const deleteFailures = `DELETE FROM app._login_failure WHERE counted = $1`

const insertToken = `INSERT INTO app._access_token (hash, auth_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)`

const insertFailures = `WITH old AS (
	DELETE FROM app._login_failure WHERE ctid IN (SELECT ctid FROM app._login_failure WHERE at < $3 LIMIT 20)
) INSERT INTO app._login_failure (counted, at) SELECT unnest($1::text[]), $2`

const insertHistory = `INSERT INTO app._password_history (id, auth_id, password, logged_at) VALUES ($1, $2, $3, $4)`

// selectHistory returns the newest $2 passwords and all since $3, at most $4.
const selectHistory = `SELECT password FROM (
	SELECT password, logged_at, row_number() OVER (ORDER BY logged_at DESC, id) AS n FROM app._password_history WHERE auth_id = $1 AND password IS NOT NULL
) h WHERE n <= $2 OR logged_at > $3 ORDER BY n LIMIT $4`

const deleteHistory = `DELETE FROM app._password_history WHERE auth_id = $1 AND logged_at <= $3 AND id NOT IN (
	SELECT id FROM app._password_history WHERE auth_id = $1 ORDER BY logged_at DESC, id LIMIT $2)`

const updateDisabled = `UPDATE app._auth SET disabled = $2, disabled_message = $3, disabled_expiry = $4 WHERE id = $1`

type userRecord struct {
	Exists   bool `db:"there"`
	Verified bool `db:"verified"`
}

// is_verified is a field like any other and may not exist.
const selectUserRecord = `SELECT count(*) > 0 AS there, coalesce(bool_or(to_jsonb(u) -> 'is_verified' = 'true'), false) AS verified
	FROM app."user" u WHERE u._id = $1 AND u._database_id = ''`

func (s *Service) record(ctx context.Context, id string) (userRecord, error) {
	var u userRecord
	err := s.db.Get(ctx, &u, selectUserRecord, id)
	return u, err
}

const (
	selectRoles        = `SELECT role_id FROM app._auth_role WHERE auth_id = $1 ORDER BY role_id COLLATE "C"`
	selectDefaultRoles = `SELECT id FROM app._role WHERE by_default ORDER BY id COLLATE "C"`
	selectRolesOf      = `SELECT auth_id, role_id FROM app._auth_role WHERE auth_id = ANY($1) ORDER BY auth_id, role_id COLLATE "C"`

	insertRoles = `INSERT INTO app._role (id, by_default, is_admin) SELECT DISTINCT r, false, false FROM unnest($1::text[]) r ORDER BY r ON CONFLICT (id) DO NOTHING`
	setDefault  = `UPDATE app._role SET by_default = id = ANY($1) WHERE by_default IS DISTINCT FROM (id = ANY($1))`
	setAdmin    = `UPDATE app._role SET is_admin = id = ANY($1) WHERE is_admin IS DISTINCT FROM (id = ANY($1))`

	assignRoles = `INSERT INTO app._auth_role (auth_id, role_id)
	SELECT a.id, r FROM app._auth a, (SELECT DISTINCT unnest($2::text[]) AS r) roles WHERE a.id = ANY($1) ORDER BY a.id, r ON CONFLICT DO NOTHING`
	revokeRoles = `DELETE FROM app._auth_role WHERE auth_id = ANY($1) AND role_id = ANY($2)`
)

// lockRoles makes changes of the set of roles happen one after another.
const lockRoles = `LOCK TABLE app._role IN SHARE ROW EXCLUSIVE MODE`

const (
	selectOAuth = `SELECT user_id FROM app._sso_oauth WHERE provider = $1 AND principal_id = $2`
	touchOAuth  = `UPDATE app._sso_oauth SET token_response = $3::jsonb, profile = $4::jsonb, _updated_at = $5 WHERE provider = $1 AND principal_id = $2`
	insertOAuth = `INSERT INTO app._sso_oauth (user_id, provider, principal_id, token_response, profile, _created_at, _updated_at)
	VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6, $6)`
	deleteOAuth = `DELETE FROM app._sso_oauth WHERE user_id = $1 AND provider = $2`

	selectCustom = `SELECT user_id FROM app._sso_custom_token WHERE principal_id = $1`
	insertCustom = `INSERT INTO app._sso_custom_token (user_id, principal_id, _created_at) VALUES ($1, $2, $3)`
)

// selectConstraints reads the managed constraints by how their names start.
const selectConstraints = `SELECT c.conname FROM pg_catalog.pg_constraint c
	JOIN pg_catalog.pg_class t ON t.oid = c.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
	WHERE n.nspname = $1 AND t.relname = 'user' AND c.contype = 'u' AND starts_with(c.conname, $2) ORDER BY c.conname`

// insertVerifiedRule keeps users from verifying themselves and each other, where nobody has made a rule.
const insertVerifiedRule = `INSERT INTO app._record_field_access
	(record_type, record_field, user_role, writable, readable, comparable, discoverable)
	SELECT 'user', 'is_verified', '_any_user', false, true, true, true
	WHERE NOT EXISTS (SELECT FROM app._record_field_access WHERE record_type = 'user' AND record_field = 'is_verified')
	ON CONFLICT DO NOTHING`

const lockSchema = `SELECT version FROM app._schema_version FOR UPDATE`

func dropConstraint(name string) string {
	return `ALTER TABLE app."user" DROP CONSTRAINT ` + pg.Ident(name).SQL()
}

func addConstraint(name string, keys []string) string {
	columns := make([]string, len(keys))
	for i, k := range keys {
		columns[i] = pg.Ident(k).SQL()
	}
	return `ALTER TABLE app."user" ADD CONSTRAINT ` + pg.Ident(name).SQL() + ` UNIQUE (` + strings.Join(columns, ", ") + `)`
}
