package records

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

const selectVersion = `SELECT version FROM app._schema_version`

// params collects the arguments of a statement that is put together.
type params []any

// placeholders are the first ones, ready made.
const placeholders = "$1 $2 $3 $4 $5 $6 $7 $8 $9 $10$11$12$13$14$15$16$17$18$19$20$21$22$23$24"

// add takes a value and returns its placeholder.
func (p *params) add(v any) string {
	*p = append(*p, v)
	return placeholder(len(*p))
}

func placeholder(n int) string {
	switch {
	case n < 10:
		return placeholders[3*n-3 : 3*n-1]
	case n < 25:
		return placeholders[3*n-3 : 3*n]
	}
	return "$" + strconv.Itoa(n)
}

// metaCount is how many reserved columns come before the data columns in what is read.
const metaCount = len(schema.MetaColumns)

// table is what a statement on one record type needs to know.
type table struct {
	*schema.Type
	columns []schema.Column // which are read
	snap    *schema.Snapshot
	viewer  acl.Actor // who will see what is read
	desired []string  // fields to show where more had to be read; nil: all
}

func newTable(snap *schema.Snapshot, t *schema.Type, viewer acl.Actor) *table {
	return &table{Type: t, columns: t.Columns, snap: snap, viewer: viewer}
}

// selectList returns what a statement reads of the row t.
func (t *table) selectList() string {
	if len(t.columns) == len(t.Columns) {
		return t.ReadAll
	}
	return schema.ReadList(t.columns)
}

// upsert is a save of some records of one type: one statement that inserts the new ones and updates
// those which the actor may write.
type upsert struct {
	*group
	rows      []*row
	sent      []*schema.Column // what at least one row sends
	mixed     bool             // not every row sends all of them
	args      params
	mode      mode
	condition string // who may write
	first     int    // number of the first field's argument
}

// Arguments that every save has, by their numbers. The condition's, the fields', the sequences' and
// the silent rows' come behind them, in this order.
const (
	argKey = 1 + iota
	argAccess
	argDatabase
	argUser
	argNow
	argVersion
)

// mode says what an upsert may do.
type mode byte

// The modes.
const (
	insertOrUpdate mode = iota
	updateOnly
	insertOnly
	insertPlainly // a conflict is an error, nothing comes back
)

// arguments fills args.
func (u *upsert) arguments() {
	u.args = make(params, 0, 10+2*len(u.sent))
	u.input(func(r *row) (string, bool) { return r.rec.Key, true })
	u.input(u.access)
	u.args = append(u.args, u.scope.database, u.scope.actor.UserID, timestamp(u.now), u.table.snap.Version)
	if u.mode != insertPlainly {
		u.condition = u.writable(u.args.add)
	}
	u.first = len(u.args) + 1
	for i, c := range u.sent {
		u.input(func(r *row) (string, bool) {
			cell := r.cell(i, c)
			return cell.text, cell.given
		})
	}
	for i := range u.table.Columns {
		if c := &u.table.Columns[i]; c.Kind == schema.Sequence {
			u.args.add(c.Sequence)
		}
	}
}

// input adds one value per row: as it is for one row, in an array for several.
func (u *upsert) input(value func(*row) (string, bool)) {
	if len(u.rows) > 1 {
		u.args.add(arrayOf(u.rows, value))
	} else if text, ok := value(u.rows[0]); ok {
		u.args.add(text)
	} else {
		u.args.add(nil)
	}
}

func (u *upsert) access(r *row) (string, bool) {
	list := r.rec.Access
	if list == nil && u.table.HasDefault {
		list = u.table.DefaultAccess
	}
	if list == nil {
		return "", false
	}
	return string(list.AppendJSON(nil)), true
}

// shape names what the text depends on beside the type.
func (u *upsert) shape() []byte {
	b := append(make([]byte, 0, 64), 's', bit(len(u.rows) > 1), byte(u.mode), byte(len(u.args)))
	b = append(b, u.condition...)
	for _, c := range u.sent {
		b = append(b, byte(c.Index>>8), byte(c.Index))
	}
	return b
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// statement returns the text for the arguments. Rows come back only where the version of the schema is
// the expected one and access is granted.
func (u *upsert) statement() string {
	if u.mixed {
		return u.text()
	}
	return u.table.Derived(u.shape(), u.text)
}

func (u *upsert) text() string {
	key, access := u.given(argKey, "text"), u.given(argAccess, "jsonb")
	database, user, now := placeholder(argDatabase)+"::text", placeholder(argUser)+"::text", placeholder(argNow)+"::timestamp"
	names, values, updates := u.fields(key)
	var b sqlText
	b.put("INSERT INTO ", u.table.Table, " AS t (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by", names,
		") SELECT ", key, ", ", database, ", ", user, ", ", access, ", ", now, ", ", user, ", ", now, ", ", user, values)
	if len(u.rows) > 1 {
		b.put(" FROM unnest(", placeholder(argKey), "::text[], ", placeholder(argAccess), "::jsonb[]")
		for i, c := range u.sent {
			b.put(", ", placeholder(u.first+i), "::", c.ArgType, "[]")
		}
		b.put(") AS i(a", strconv.Itoa(argKey), ", a", strconv.Itoa(argAccess))
		for i := range u.sent {
			b.put(", a", strconv.Itoa(u.first+i))
		}
		b.put(")")
	}
	b.put(" WHERE ", unchanged(u.table.snap, func(any) string { return placeholder(argVersion) }))
	switch u.mode {
	case insertPlainly:
		return b.String()
	case updateOnly:
		// The lock keeps a row that is there from vanishing before it is updated.
		b.put(" AND EXISTS (SELECT FROM ", u.table.Table, " x WHERE x._id = ", key, " AND x._database_id = ", database, " FOR UPDATE)")
	}
	b.put(" ON CONFLICT (_id) DO UPDATE SET _access = coalesce(excluded._access, t._access), _updated_at = excluded._updated_at, _updated_by = excluded._updated_by", updates,
		" WHERE t._database_id = excluded._database_id AND ", u.updates(), " RETURNING ", u.returned())
	return b.String()
}

// updates is the condition for rows that are there already.
func (u *upsert) updates() string {
	if u.mode == insertOnly {
		return "false AND " + u.condition
	}
	return u.condition
}

// returned is what comes back: everything, or only what an update left where the rest is known.
func (u *upsert) returned() string {
	if u.known() {
		return u.table.ReadUpdated
	}
	return u.table.ReadAll
}

// known says whether a new row holds exactly what was sent. Documents and shapes come back in the
// database's own spelling.
func (u *upsert) known() bool {
	return !u.table.Fills && !slices.ContainsFunc(u.sent, func(c *schema.Column) bool {
		return c.Kind == schema.JSON || c.Kind == schema.Location || c.Kind == schema.Geometry
	})
}

// given is the expression for an input: a plain argument for one row, a column of the unnested arrays
// for several.
func (u *upsert) given(n int, sqlType string) string {
	if len(u.rows) > 1 {
		return "i.a" + strconv.Itoa(n)
	}
	return placeholder(n) + "::" + sqlType
}

// fields returns the data columns of the INSERT with their values, and the assignments of the UPDATE.
func (u *upsert) fields(key string) (names, values, updates string) {
	var n, v, s sqlText
	sequences := u.first + len(u.sent)
	numbered := func(c *schema.Column, e string) string {
		return "coalesce(" + e + ", (SELECT x." + c.SQL + " FROM " + u.table.Table + " x WHERE x._id = " + key +
			"), nextval(" + placeholder(sequences+u.table.sequencesBefore(c)) + "::text::regclass))"
	}
	for i, c := range u.sent {
		e := c.Stored(u.given(u.first+i, c.ArgType))
		if c.Kind == schema.Sequence {
			e = numbered(c, e)
		}
		n.put(", ", c.SQL)
		v.put(", ", e)
		s.put(", ", c.SQL, " = ", u.assignment(i, c))
	}
	for i := range u.table.Columns {
		// A number that nobody sends is drawn for new rows only: the default would waste one per update.
		if c := &u.table.Columns[i]; c.Kind == schema.Sequence && !slices.Contains(u.sent, c) {
			n.put(", ", c.SQL)
			v.put(", ", numbered(c, "NULL"))
		}
	}
	return n.String(), v.String(), s.String()
}

// sequencesBefore counts the numbered columns before c; nil is behind all.
func (t *table) sequencesBefore(c *schema.Column) int {
	n, end := 0, len(t.Columns)
	if c != nil {
		end = c.Index
	}
	for i := range end {
		if t.Columns[i].Kind == schema.Sequence {
			n++
		}
	}
	return n
}

// assignment leaves the column alone in the rows that do not send it.
func (u *upsert) assignment(i int, c *schema.Column) string {
	if !u.mixed {
		return "excluded." + c.SQL
	}
	silent := []string{}
	for _, r := range u.rows {
		if r.cell(i, c).col == nil {
			silent = append(silent, r.rec.Key)
		}
	}
	return "CASE WHEN t._id = ANY(" + u.args.add(pg.Array(silent)) + "::text[]) THEN t." + c.SQL + " ELSE excluded." + c.SQL + " END"
}

// sqlText puts a statement together.
type sqlText struct{ strings.Builder }

func (b *sqlText) put(parts ...string) {
	for _, p := range parts {
		b.WriteString(p)
	}
}

// arrayOf writes an array as PostgreSQL reads it.
func arrayOf(rows []*row, value func(*row) (string, bool)) string {
	b := make([]byte, 0, 2+24*len(rows))
	b = append(b, '{')
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		text, ok := value(r)
		if !ok {
			b = append(b, "NULL"...)
			continue
		}
		b = append(b, '"')
		for j := range len(text) {
			if c := text[j]; c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, text[j])
		}
		b = append(b, '"')
	}
	return string(append(b, '}'))
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999") }

// insert executes a plain INSERT of one row. done is false when the row is there, the schema is another
// one, or the values do not fit: the upsert then says which. A row whose INSERT has begun is stored even if the client
// goes meanwhile, which it could not rule out anyway.
func (u *upsert) insert(ctx context.Context, db *pg.DB) (done bool, err error) {
	u.arguments()
	n, err := db.ExecThrough(ctx, u.statement(), u.args...)
	switch {
	case err != nil && (isData(err) || isStale(err)):
		return false, nil
	case err != nil || n == 0:
		return false, err
	}
	sender := u.rows[0]
	sender.out = &Record{Type: u.table.Name, Key: sender.rec.Key, Fields: make([]Field, 0, len(sender.cells))}
	u.complete(sender.out, sender)
	return true, nil
}

// run executes the statement and gives the rows that came back to their senders.
func (u *upsert) run(ctx context.Context, q pg.Querier) error {
	u.arguments()
	statement := u.statement() // may add arguments
	byKey := keyed(u.rows)
	r := newReader(u.table)
	return q.Each(ctx, statement, u.args, func(row pg.Row) error {
		rec, err := r.read(row)
		if err != nil {
			return err
		}
		sender := byKey(rec.Key)
		if rec.CreatedAt.IsZero() { // it was new
			u.complete(rec, sender)
		}
		sender.out = rec
		return nil
	})
}

// selectStanding returns what stops the rows that a statement did not touch.
func selectStanding(g *group, keys []string) (string, params) {
	var p params
	text := "SELECT t._id, " + g.scope.inDatabase("t", p.add) + ", " + g.writable(p.add) +
		" FROM " + g.table.Table + " t WHERE t._id = ANY(" + p.add(pg.Array(keys)) + "::text[])"
	return text, p
}

// deleteRows returns the statement that removes the rows which the actor may write.
func deleteRows(g *group, keys []string) (string, params) {
	var p params
	text := "DELETE FROM " + g.table.Table + " t WHERE t._id = ANY(" + p.add(pg.Array(keys)) + "::text[]) AND " +
		g.scope.inDatabase("t", p.add) + " AND " + g.writable(p.add) + " RETURNING t._id"
	return text, p
}

// writable is the condition that the actor may write the row t.
func (g *group) writable(arg func(any) string) string {
	if g.table.Sealed && !g.scope.actor.Master() {
		return "false"
	}
	return acl.Where(g.scope.actor, acl.Write, "t", arg)
}

// selectByKeys returns the statement that reads rows together with the verdict on reading them.
func selectByKeys(t *table, sc scope, keys []string) (string, params) {
	var p params
	text := "SELECT " + t.selectList() + ", " + acl.Where(sc.actor, acl.Read, "t", p.add) + " FROM " + t.Table +
		" t WHERE t._id = ANY(" + p.add(pg.Array(keys)) + "::text[]) AND " + sc.inDatabase("t", p.add) + " AND " + unchanged(t.snap, p.add)
	return text, p
}

// unchanged is the condition that the schema still is snap, asked once per statement: what another server
// has done to fields and to the rules about them holds from its commit on, not from when we hear of it.
func unchanged(snap *schema.Snapshot, arg func(any) string) string {
	return "(SELECT version FROM " + snap.VersionTable + ") = " + arg(snap.Version) + "::bigint"
}

// each reads the rows of a statement with the condition unchanged. That none came may mean errStale.
func each(ctx context.Context, q pg.Querier, snap *schema.Snapshot, text string, args []any, scan func(pg.Row) error) error {
	none := true
	err := q.Each(ctx, text, args, func(row pg.Row) error {
		none = false
		return scan(row)
	})
	if err == nil && none {
		return checkUnchanged(ctx, q, snap)
	}
	return err
}

// checkUnchanged returns errStale when the schema is no longer snap.
func checkUnchanged(ctx context.Context, q pg.Querier, snap *schema.Snapshot) error {
	var version int64
	err := q.Get(ctx, &version, selectVersion)
	if err == nil && version != snap.Version {
		return errStale
	}
	return err
}

// pageText returns the statement of a query: the columns of the page, what is included, and the count of
// all that match where it is asked for.
func (p *plan) pageText() string {
	var b strings.Builder
	b.WriteString("SELECT " + p.table.selectList())
	for i := range p.include {
		b.WriteString(", " + p.include[i].sql)
	}
	if p.query.Count {
		b.WriteString(", count(*) OVER ()")
	}
	b.WriteString(p.fromText(p.joins) + p.order)
	if p.query.Limit != nil { // written out, so that the planner knows it
		b.WriteString(" LIMIT " + strconv.Itoa(*p.query.Limit))
	}
	if p.offset != "" {
		b.WriteString(" OFFSET " + p.offset + "::bigint")
	}
	return b.String()
}

// countText counts what the condition alone selects: joins for sorting add no rows.
func (p *plan) countText() string { return "SELECT count(*)" + p.fromText(p.joins[:p.needed]) }

// matchText returns the statement that tells the positions, from 1, of those rows which the condition
// selects. Its last argument is a JSON array of rows by column.
func (p *plan) matchText(rows string) string {
	return "SELECT r.n" + p.fromRows("jsonb_array_elements("+rows+"::jsonb) WITH ORDINALITY AS r(v, n) CROSS JOIN LATERAL jsonb_populate_record(NULL::"+
		p.table.Table+", r.v) AS t", p.joins) + " ORDER BY r.n"
}

func (p *plan) fromText(joins []join) string { return p.fromRows(p.table.Table+" t", joins) }

// fromRows is FROM and WHERE for the rows t of a source.
func (p *plan) fromRows(source string, joins []join) string {
	var b strings.Builder
	b.WriteString(" FROM " + source)
	for _, j := range joins {
		b.WriteString(" LEFT JOIN " + j.table.Table + " " + j.alias + " ON t." + j.ref.SQL + " = " + j.alias + "._id AND " + j.condition)
	}
	b.WriteString(" WHERE " + p.where)
	return b.String()
}

// related says that a relation holds between the user and the one whose id column has.
func related(table, direction, user, column string) string {
	out := "EXISTS (SELECT FROM " + table + " r WHERE r.left_id = " + user + " AND r.right_id = " + column + ")"
	in := "EXISTS (SELECT FROM " + table + " r WHERE r.right_id = " + user + " AND r.left_id = " + column + ")"
	switch direction {
	case "outward":
		return out
	case "inward":
		return in
	}
	return "(" + out + " AND " + in + ")"
}

// inDatabase limits the row called alias to the selected database.
func (sc scope) inDatabase(alias string, arg func(any) string) string {
	if sc.union {
		return "true"
	}
	return alias + "._database_id = " + arg(sc.database)
}

// advanceSequence moves a sequence to at least $2.
const advanceSequence = `
	SELECT setval($1::text::regclass, $2::bigint)
	 WHERE $2::bigint > (SELECT coalesce(pg_sequence_last_value($1::text::regclass), 0))`
