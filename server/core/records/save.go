package records

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

// Save creates or updates records. Without Atomic every entry has its own outcome and what succeeded is
// durable on return. The error concerns the request as a whole: Incompatible when the schema
// contradicts, AtomicFailure (Details: "type/key" -> *fault.Error) when Atomic and an entry failed,
// Invalid, Unauthenticated, Denied, NotSupported for the request itself. Wire: skygear §3.5-3.8.
func (s *Service) Save(ctx context.Context, req SaveRequest) ([]Result, error) {
	if s.hooks == nil {
		return s.save(ctx, req)
	}
	return s.hooks.Save(ctx, req, s.save)
}

func (s *Service) save(ctx context.Context, req SaveRequest) ([]Result, error) {
	sc, err := s.writable(ctx, req.Database)
	if err != nil {
		return nil, err
	}
	if len(req.Items) == 0 {
		return nil, noRecords()
	}
	b := newBatch(sc, len(req.Items), req.Atomic)
	for i, item := range req.Items {
		b.rows[i] = row{id: item.ID, rec: item.Record, err: item.Err, trusted: item.Trusted}
		if item.ID == "" && item.Record != nil {
			b.rows[i].id = item.Record.ID()
		}
	}
	if err := b.checkWhole(); err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	err = s.fresh(ctx, func(snap *schema.Snapshot) error {
		if b.atomic { // what an earlier try did was rolled back
			b.reset()
		}
		snap, err := s.migrate(ctx, b, snap)
		if err != nil {
			return err
		}
		return b.run(ctx, s.db, func() []*group { return b.saveGroups(snap, now, s.met) })
	})
	if err != nil {
		return nil, err
	}
	b.meet(s.met)
	_ = s.Describe(ctx, b.stored()...) // they are saved: without their URLs is better than an error
	return b.results(), nil
}

// staleTries bounds how often a request starts again because the schema changed under it.
const staleTries = 8

// errStale says that a statement was made for a schema that is not the present one.
var errStale = fault.New(fault.Unavailable, "records.stale_schema", "the schema kept changing; try again")

// fresh runs fn with the picture of the schema, again with a newer one when it was stale.
func (s *Service) fresh(ctx context.Context, fn func(*schema.Snapshot) error) error {
	snap, err := s.schema.Current(ctx)
	for try := 1; err == nil; try++ {
		err = fn(snap)
		switch {
		case !isStale(err):
			return err
		case try == staleTries:
			return errStale
		}
		snap, err = s.schema.Refresh(ctx, snap)
	}
	return err
}

func isStale(err error) bool {
	return err != nil && (errors.Is(err, errStale) || fault.Is(err, "pg.undefined_column") || fault.Is(err, "pg.undefined_table"))
}

// migrate makes the types and fields that the batch needs. Nothing is asked of the database when the
// picture has them all. Somebody may remove a field again before the picture is taken.
func (s *Service) migrate(ctx context.Context, b *batch, snap *schema.Snapshot) (*schema.Snapshot, error) {
	for range staleTries {
		changes, err := b.needs(snap)
		if err != nil || len(changes) == 0 {
			return snap, err
		}
		if snap, err = s.schema.Ensure(ctx, changes, s.devMode || b.mayMigrate || b.scope.actor.Master()); err != nil {
			return nil, err
		}
	}
	return nil, errStale
}

// needs returns what the open rows need beyond snap.
func (b *batch) needs(snap *schema.Snapshot) ([]schema.Change, error) {
	var changes []schema.Change
	for i := range b.rows {
		r := &b.rows[i]
		if r.err != nil || r.out != nil {
			continue
		}
		if err := schema.CheckName("record type", r.rec.Type); err != nil {
			r.err = fault.From(err)
			continue
		}
		c := schema.Change{Type: r.rec.Type, Fields: lacking(snap.Type(r.rec.Type), r.rec)}
		if len(c.Fields) > 0 || snap.Type(r.rec.Type) == nil {
			changes = append(changes, c)
		}
	}
	return changes, b.checkWhole()
}

// lacking returns the fields of rec that t does not have, or has with another type.
func lacking(t *schema.Type, rec *Record) []schema.Field {
	var fields []schema.Field
	for _, f := range rec.Fields {
		need, ok := typeOf(f.Value)
		if !ok {
			continue
		}
		if t != nil {
			if c := t.Column(f.Name); c != nil && c.Holds(need) {
				continue
			}
		}
		fields = append(fields, schema.Field{Name: f.Name, Type: need})
	}
	return fields
}

// saveGroups binds the rows to the columns of snap and groups them: types that others refer to come
// first, and of an id that appears twice the later one comes later.
func (b *batch) saveGroups(snap *schema.Snapshot, now time.Time, m *met) []*group {
	groups := b.groups(snap, func(r *row, t *schema.Type) bool {
		r.err = r.bind(t)
		return r.err == nil
	})
	for _, g := range groups {
		g.now, g.statement, g.met = now, saveRows, m
		g.mayCreate = mayCreate(b.scope.actor, g.table.Type)
	}
	return inOrder(groups)
}

// mayCreate says whether the actor may create records of t. Wire: skygear §3.6.
func mayCreate(a acl.Actor, t *schema.Type) bool {
	if a.Master() || t.Sealed {
		return a.Master()
	}
	return len(t.CreationRoles) == 0 ||
		slices.ContainsFunc(t.CreationRoles, func(role string) bool { return slices.Contains(a.Roles, role) })
}

// inOrder puts groups behind the groups that their references point to. Types that point to each other
// keep their places.
func inOrder(groups []*group) []*group {
	if len(groups) < 2 {
		return groups
	}
	ordered := make([]*group, 0, len(groups))
	for len(groups) > 0 {
		i := max(0, slices.IndexFunc(groups, func(g *group) bool { return !g.waitsFor(groups) }))
		ordered = append(ordered, groups[i])
		groups = slices.Delete(groups, i, i+1)
	}
	return ordered
}

func (g *group) waitsFor(others []*group) bool {
	for i := range g.table.Columns {
		c := &g.table.Columns[i]
		if c.Kind == schema.Ref && c.Target != g.table.Name &&
			slices.ContainsFunc(others, func(o *group) bool { return o.table.Name == c.Target }) {
			return true
		}
	}
	return false
}

// bind turns the fields of a record into cells, by column. A null for a column that does not exist is
// nothing to do.
func (r *row) bind(t *schema.Type) *fault.Error {
	r.cells = make([]cell, 0, len(r.rec.Fields))
	for _, f := range r.rec.Fields {
		c := t.Column(f.Name)
		switch f.Value.(type) {
		case Sequence, Unknown:
			continue // hints; what is stored stays
		}
		switch {
		case c == nil && f.Value == nil:
			continue
		case c == nil: // it was there a moment ago
			return errStale
		}
		cell, err := cellOf(c, f.Value)
		if err != nil {
			return fault.From(err)
		}
		r.cells = append(r.cells, cell)
	}
	slices.SortFunc(r.cells, func(a, b cell) int { return cmp.Compare(a.col.Index, b.col.Index) })
	return nil
}

// cellOf writes a value as text for its column, which holds values of this type.
func cellOf(c *schema.Column, value any) (cell, error) {
	out := cell{col: c, value: value, given: true}
	switch v := value.(type) {
	case nil:
		out.given = false
	case string:
		out.text = v
	case bool:
		out.text = strconv.FormatBool(v)
	case float64:
		return numberCell(out, v)
	case int64:
		return integerCell(out, v)
	case time.Time:
		out.text = timestamp(v)
	case JSON:
		out.text = string(v)
	case Location:
		out.text = "POINT(" + strconv.FormatFloat(v.Lng, 'g', -1, 64) + " " + strconv.FormatFloat(v.Lat, 'g', -1, 64) + ")"
	case Geometry:
		out.text = string(v)
	case Reference:
		out.text = v.Key
	case Asset:
		out.text = v.Name
	default:
		return out, badValue(c.Name, "is of a type that cannot be stored")
	}
	if strings.IndexByte(out.text, 0) >= 0 {
		return out, badValue(c.Name, "contains a NUL character, which cannot be stored")
	}
	return out, nil
}

func numberCell(out cell, f float64) (cell, error) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return out, badValue(out.col.Name, "is not a finite number")
	case out.col.Kind == schema.Number:
		out.text = strconv.FormatFloat(f, 'g', -1, 64)
		return out, nil
	case f != math.Trunc(f) || math.Abs(f) >= 1<<63:
		return out, badValue(out.col.Name, "is not a whole number, which its column needs")
	}
	return integerCell(out, int64(f))
}

func integerCell(out cell, n int64) (cell, error) {
	if out.col.Underlying == "int4" && n != int64(int32(n)) {
		return out, badValue(out.col.Name, "is outside the range of its column, -2147483648 to 2147483647")
	}
	out.text = strconv.FormatInt(n, 10)
	return out, nil
}

// saveRows is the statement of a save.
func saveRows(ctx context.Context, q pg.Querier, g *group, rows []*row) error {
	if err := g.write(ctx, q, rows); err != nil {
		return err
	}
	return g.explain(ctx, q, rows, func(r *row, found, here, allowed bool) *fault.Error {
		switch {
		case found && here && !allowed:
			return denied(r.id)
		case !(found && here) && !g.mayCreate:
			return fault.New(fault.Denied, "records.create_denied", "you may not create records of type %s", r.rec.Type)
		case found && !here:
			return fault.New(fault.Duplicate, "records.taken", "the id %s is taken by a record of another database", r.id)
		}
		return nil
	})
}

// write runs the upsert. Where fields are guarded, what is there is read first; then records that were
// there are only updated and others only inserted, so that a verdict never meets another record than
// the one it was made for.
func (g *group) write(ctx context.Context, q pg.Querier, rows []*row) error {
	if !g.guards(rows) {
		free := insertOrUpdate
		switch done, err := g.insert(ctx, q, rows); {
		case done || err != nil:
			return err
		case !g.mayCreate:
			free = updateOnly
		}
		return g.upsert(ctx, q, rows, free)
	}
	known, err := g.judge(ctx, q, rows)
	if err != nil {
		return err
	}
	var old, fresh []*row
	for _, r := range rows {
		switch {
		case r.settled():
		case known[r.rec.Key] != nil:
			old = append(old, r)
		case g.mayCreate:
			fresh = append(fresh, r)
		}
	}
	if err := g.upsert(ctx, q, old, updateOnly); err != nil {
		return err
	}
	return g.upsert(ctx, q, fresh, insertOnly)
}

// insert is the quick way for one record that this server has never met: a plain INSERT, after which
// nothing has to come back. Whatever makes it fail is left for the upsert to judge.
func (g *group) insert(ctx context.Context, q pg.Querier, rows []*row) (done bool, err error) {
	db, plain := q.(*pg.DB) // inside a transaction a failure would end it
	if !plain || len(rows) != 1 || !g.mayCreate || g.met.has(g.table.Name, rows[0].rec.Key) {
		return false, nil
	}
	u := newUpsert(g, rows)
	if u.mode = insertPlainly; !u.known() || g.table.sequencesBefore(nil) > 0 {
		return false, nil
	}
	return u.insert(ctx, db)
}

func (g *group) upsert(ctx context.Context, q pg.Querier, rows []*row, m mode) error {
	if len(rows) == 0 {
		return nil
	}
	u := newUpsert(g, rows)
	u.mode = m
	if err := u.run(ctx, q); err != nil {
		return err
	}
	return u.advance(ctx, q)
}

func denied(id string) *fault.Error {
	return fault.New(fault.Denied, "records.denied", "you may not do this with %s", id)
}

func newUpsert(g *group, rows []*row) *upsert {
	u := &upsert{group: g, rows: rows}
	for i, r := range rows {
		if i > 0 && !r.sendsLike(rows[0]) {
			u.mixed = true
		}
	}
	if !u.mixed {
		u.sent = make([]*schema.Column, len(rows[0].cells))
		for i, cell := range rows[0].cells {
			u.sent[i] = cell.col
		}
		return u
	}
	sent := map[*schema.Column]bool{}
	for _, r := range rows {
		for _, cell := range r.cells {
			if !sent[cell.col] {
				sent[cell.col] = true
				u.sent = append(u.sent, cell.col)
			}
		}
	}
	slices.SortFunc(u.sent, func(a, b *schema.Column) int { return cmp.Compare(a.Index, b.Index) })
	return u
}

func (r *row) sendsLike(o *row) bool {
	return slices.EqualFunc(r.cells, o.cells, func(a, b cell) bool { return a.col == b.col })
}

// advance moves the sequences on to the numbers that were given. Wire: skygear §3.9.
func (u *upsert) advance(ctx context.Context, q pg.Querier) error {
	for i, c := range u.sent {
		if c.Kind != schema.Sequence {
			continue
		}
		highest := int64(0)
		for _, r := range u.rows {
			if cell := r.cell(i, c); cell.given && r.out != nil {
				n, _ := strconv.ParseInt(cell.text, 10, 64)
				highest = max(highest, n)
			}
		}
		if highest == 0 {
			continue
		}
		if _, err := q.Exec(ctx, advanceSequence, c.Sequence, highest); err != nil {
			return err
		}
	}
	return nil
}

// guards says whether rows send fields with rules that bind the actor.
func (g *group) guards(rows []*row) bool {
	if !g.table.Guarded || g.scope.actor.Master() {
		return false
	}
	return slices.ContainsFunc(rows, func(r *row) bool {
		return slices.ContainsFunc(r.cells, func(c cell) bool { return len(c.col.Rules) > 0 })
	})
}

// judge takes the changes out of rows that the actor may not make; in an atomic batch they are an error.
// It returns the stored records by key.
func (g *group) judge(ctx context.Context, q pg.Querier, rows []*row) (map[string]*Record, error) {
	everything := acl.Actor{Key: acl.MasterKey}
	t := newTable(g.table.snap, g.table.Type, everything)
	text, args := selectByKeys(t, scope{actor: everything, database: g.scope.database}, keysOf(rows))
	known := map[string]*Record{}
	reader := newReaderWith(t, 1)
	err := each(ctx, q, t.snap, text, args, func(row pg.Row) error {
		rec, err := reader.read(row)
		if err == nil {
			known[rec.Key] = rec
		}
		return err
	})
	for _, r := range rows {
		g.judgeRow(r, known[r.rec.Key])
	}
	return known, err
}

func (g *group) judgeRow(r *row, stored *Record) {
	if r.sent == nil {
		r.sent = r.cells
	}
	before := stored
	if before == nil { // who creates a record owns it
		before = &Record{Owner: g.scope.actor.UserID, Fields: r.rec.Fields}
	}
	h := before.holder()
	var refused []string
	r.cells = make([]cell, 0, len(r.sent))
	for _, c := range r.sent {
		trusted := slices.Contains(g.trusted, c.col.Name) || slices.Contains(r.trusted, c.col.Name)
		if !trusted && g.forbids(&c, h) && (c.changes(stored) || g.hides(&c, h)) {
			refused = append(refused, c.col.Name)
			continue
		}
		r.cells = append(r.cells, c)
	}
	if g.atomic && refused != nil {
		r.err = fieldsDenied(refused)
	}
}

func (g *group) forbids(c *cell, h *acl.Holder) bool {
	return !acl.AllowsField(c.col.Rules, g.scope.actor, acl.WriteField, h)
}

// hides says whether the actor may not even read the field. Nobody learns by writing whether a guess is
// what is stored.
func (g *group) hides(c *cell, h *acl.Holder) bool {
	return !acl.AllowsField(c.col.Rules, g.scope.actor, acl.ReadField, h)
}

// changes says whether writing c changes what is stored; all of a new record is a change.
func (c *cell) changes(stored *Record) bool {
	if stored == nil {
		return true
	}
	old := stored.Get(c.col.Name)
	if !c.given || old == nil {
		return c.given || old != nil
	}
	return differ(old, c.stored())
}

// differ compares what two values are on the wire.
func differ(x, y any) bool {
	var a, b any
	errA, errB := json.Unmarshal(appendValue(nil, x), &a), json.Unmarshal(appendValue(nil, y), &b)
	return errA != nil || errB != nil || !reflect.DeepEqual(a, b)
}
