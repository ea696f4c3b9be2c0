package records

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/schema"
)

// batch is a request that works on several records.
type batch struct {
	scope  scope
	atomic bool
	rows   []row

	mayMigrate bool // the schema may change whoever acts
}

// row is one entry of a batch.
type row struct {
	id    string
	rec   *Record // what was sent
	cells []cell  // its fields, by column
	sent  []cell  // the same before fields that the actor may not write were taken out
	out   *Record // what is stored now; its presence means done
	err   *fault.Error

	trusted []string // fields that are written whatever their rules say
}

// cell is a value for a column: its text, or NULL when not given.
type cell struct {
	col   *schema.Column
	value any // as it was sent
	text  string
	given bool
}

// cell returns the value for c, which is likely the i-th; the zero cell when it was not sent.
func (r *row) cell(i int, c *schema.Column) cell {
	if i < len(r.cells) && r.cells[i].col == c {
		return r.cells[i]
	}
	for _, cell := range r.cells {
		if cell.col == c {
			return cell
		}
	}
	return cell{}
}

// group is the rows of a batch that one statement works on.
type group struct {
	scope     scope
	table     *table
	rows      []*row
	now       time.Time
	mayCreate bool
	trusted   []string // fields that are written whatever their rules say
	atomic    bool
	met       *met
	statement func(ctx context.Context, q pg.Querier, g *group, rows []*row) error
}

func newBatch(sc scope, n int, atomic bool) *batch {
	return &batch{scope: sc, rows: make([]row, n), atomic: atomic}
}

// stored returns the records that are there now.
func (b *batch) stored() []*Record {
	list := make([]*Record, 0, len(b.rows))
	for i := range b.rows {
		if rec := b.rows[i].out; rec != nil {
			list = append(list, rec)
		}
	}
	return list
}

// meet remembers the records that are there now.
func (b *batch) meet(m *met) {
	for i := range b.rows {
		if rec := b.rows[i].out; rec != nil {
			m.add(rec)
		}
	}
}

// checkWhole refuses an atomic batch with an entry that could not be read. Wire: skygear §3.8.
func (b *batch) checkWhole() error {
	if !b.atomic {
		return nil
	}
	var errs []*fault.Error
	for i := range b.rows {
		if err := b.rows[i].err; err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "records.malformed", "%d of the records could not be read, so none was saved: %s", len(errs), errs[0].Message).
		With("arguments", "records").With("errors", errs)
}

func (b *batch) results() []Result {
	b.shareErrors()
	results := make([]Result, len(b.rows))
	for i := range b.rows {
		r := &b.rows[i]
		if !r.settled() { // its type went away meanwhile
			r.err = errStale
		}
		results[i] = Result{ID: r.id, Err: r.err}
		if r.err == nil {
			results[i].Record = r.out
		}
	}
	return results
}

// shareErrors gives all entries with one id the error of any of them. Wire: skygear §3.8.
func (b *batch) shareErrors() {
	var failed map[string]*fault.Error
	for i := range b.rows {
		if r := &b.rows[i]; r.err != nil && r.id != "" {
			if failed == nil {
				failed = map[string]*fault.Error{}
			}
			failed[r.id] = r.err
		}
	}
	if len(failed) == 0 {
		return
	}
	for i := range b.rows {
		if err := failed[b.rows[i].id]; err != nil && b.rows[i].err == nil {
			b.rows[i].err = err
		}
	}
}

// run works through the groups: each statement by itself, or all in one transaction.
func (b *batch) run(ctx context.Context, db *pg.DB, groups func() []*group) error {
	if !b.atomic || len(b.rows) == 1 {
		for _, g := range groups() {
			if err := g.work(ctx, plainly(db), g.rows); err != nil {
				return err
			}
		}
		return b.failure()
	}
	return db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		b.reset()
		for _, g := range groups() {
			if err := g.work(ctx, inSavepoint(tx), g.rows); err != nil {
				return err
			}
		}
		return b.failure()
	})
}

// Together is a save of one record in a transaction with what another room writes.
type Together struct {
	Record     *Record
	Trusted    []string                            // fields that are written whatever their rules say
	MayMigrate bool                                // the schema may change, as if the actor held the master key
	Write      func(context.Context, *pg.Tx) error // runs before the save, again after a conflict; may be nil
}

// SaveTogether creates or updates a record of the public database for the actor of ctx; roles that may
// create are not asked for. When it returns nil, the record and what Write did are durable; when it
// fails, neither is there. Its errors are those of Write and of an entry of Save.
func (s *Service) SaveTogether(ctx context.Context, t Together) (*Record, error) {
	if s.hooks == nil {
		return s.saveTogether(ctx, t)
	}
	return s.hooks.SaveTogether(ctx, t, s.saveTogether)
}

func (s *Service) saveTogether(ctx context.Context, t Together) (*Record, error) {
	sc, err := s.writable(ctx, "")
	if err != nil {
		return nil, err
	}
	b := newBatch(sc, 1, false)
	b.mayMigrate = t.MayMigrate
	b.rows[0] = row{id: t.Record.ID(), rec: t.Record}
	now := s.now().UTC().Truncate(time.Microsecond)
	err = s.fresh(ctx, func(snap *schema.Snapshot) error {
		b.reset()
		snap, err := s.migrate(ctx, b, snap)
		if err != nil {
			return err
		}
		if err := b.rows[0].err; err != nil {
			return err
		}
		return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
			b.reset()
			if t.Write != nil {
				if err := t.Write(ctx, tx); err != nil {
					return err
				}
			}
			return b.saveIn(ctx, tx, b.saveGroups(snap, now, s.met), t.Trusted)
		})
	})
	if err != nil {
		return nil, err
	}
	b.meet(s.met)
	return b.rows[0].out, nil
}

// saveIn works through groups and returns the first error of an entry.
func (b *batch) saveIn(ctx context.Context, tx *pg.Tx, groups []*group, trusted []string) error {
	for _, g := range groups {
		g.mayCreate, g.trusted = true, trusted
		if err := g.work(ctx, inSavepoint(tx), g.rows); err != nil {
			return err
		}
	}
	for _, r := range b.results() {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func (b *batch) reset() {
	for i := range b.rows {
		b.rows[i].out, b.rows[i].err = nil, nil
	}
}

// failure returns the error of an atomic batch with a failed entry. Wire: skygear A5.
func (b *batch) failure() error {
	if !b.atomic {
		return nil
	}
	info := fault.New(fault.AtomicFailure, "records.atomic", "")
	failed := 0
	for i := range b.rows {
		if r := &b.rows[i]; r.err != nil {
			info = info.With(r.id, r.err)
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	info.Message = fmt.Sprintf("%d of the records failed, so nothing was done", failed)
	return info
}

// attempt runs a statement so that its failure spoils nothing else.
type attempt func(ctx context.Context, fn func(context.Context, pg.Querier) error) error

// plainly runs statements by themselves, again after a deadlock.
func plainly(db *pg.DB) attempt {
	return func(ctx context.Context, fn func(context.Context, pg.Querier) error) (err error) {
		for range raceTries {
			if err = fn(ctx, db); !fault.Is(err, "pg.conflict") {
				return err
			}
		}
		return err
	}
}

func inSavepoint(tx *pg.Tx) attempt {
	return func(ctx context.Context, fn func(context.Context, pg.Querier) error) error {
		return tx.Try(ctx, func(ctx context.Context) error { return fn(ctx, tx) })
	}
}

// raceTries bounds how often a statement runs again because somebody else was quicker.
const raceTries = 5

// work runs the group's statement on rows. When the data of one of them makes it fail, halves are
// tried, so that only that one gets the error.
func (g *group) work(ctx context.Context, try attempt, rows []*row) error {
	for n := 1; len(rows) > 0; n++ {
		err := try(ctx, func(ctx context.Context, q pg.Querier) error { return g.statement(ctx, q, g, rows) })
		switch {
		case err == nil && !slices.ContainsFunc(rows, (*row).open):
			return nil
		case err == nil:
			rows = slices.DeleteFunc(slices.Clone(rows), (*row).settled)
			if n == raceTries {
				fail(rows, fault.New(fault.Unavailable, "records.contended", "others kept changing this record; try again"))
				return nil
			}
		case g.isRace(err) && n < raceTries:
		case !isData(err):
			return err
		case len(rows) == 1:
			rows[0].err = explainData(err, rows[0])
			return nil
		default:
			if err := g.work(ctx, try, rows[:len(rows)/2]); err != nil {
				return err
			}
			rows = rows[len(rows)/2:]
		}
	}
	return nil
}

func (r *row) open() bool { return !r.settled() }

// isRace says whether err comes from another save of the same new id: the next try finds its row.
func (g *group) isRace(err error) bool {
	name := pg.State(err).Constraint
	return fault.Is(err, "pg.unique") && (name == g.table.Name+"__id_key" || name == g.table.Name+"_pkey" || len(name) == 63)
}

func (r *row) settled() bool { return r.out != nil || r.err != nil }

func fail(rows []*row, err *fault.Error) {
	for _, r := range rows {
		r.err = err
	}
}

// isData says whether the values of a record made a statement fail.
func isData(err error) bool {
	state := pg.State(err).SQLState
	return fault.HasCode(err, fault.Invalid) || fault.HasCode(err, fault.Duplicate) || fault.HasCode(err, fault.Constraint) ||
		strings.HasPrefix(state, "54") || state == "XX000"
}

// explainData says which field is to blame, where PostgreSQL tells.
func explainData(err error, r *row) *fault.Error {
	d := pg.State(err)
	switch {
	case fault.HasCode(err, fault.Constraint):
		if name := foreignField(r, d.Constraint); name != "" {
			return fault.Wrap(err, fault.Constraint, "records.dangling", "field %q refers to something that does not exist", name).With("arguments", []string{name})
		}
		return fault.Wrap(err, fault.Constraint, "records.referenced", "another record still refers to this one")
	case strings.HasPrefix(d.SQLState, "54"):
		return fault.Wrap(err, fault.Invalid, "records.too_big", "the record is too big for one row of a table; move some fields into one JSON field or another record")
	case d.SQLState == "XX000":
		return fault.Wrap(err, fault.Invalid, "records.bad_geometry", "a geometry of the record is not understood")
	case fault.HasCode(err, fault.Duplicate):
		return fault.Wrap(err, fault.Duplicate, "records.not_unique", "another record already has this value where it must be unique")
	}
	return fault.From(err)
}

// foreignField finds the field that a constraint fk_<field>_<target>_<column> is about.
func foreignField(r *row, constraint string) string {
	name := ""
	for i := range r.cells {
		if n := r.cells[i].col.Name; len(n) > len(name) && strings.HasPrefix(constraint, "fk_"+n+"_") {
			name = n
		}
	}
	return name
}

// groups joins the open rows by type and binds them; of rows with one id each gets a group of its own.
func (b *batch) groups(snap *schema.Snapshot, bind func(*row, *schema.Type) bool) []*group {
	var groups []*group
	var seen map[string]int
	if len(b.rows) > 1 {
		seen = make(map[string]int, len(b.rows))
	}
	for i := range b.rows {
		r := &b.rows[i]
		if r.settled() {
			continue
		}
		if t := snap.Type(r.rec.Type); t == nil || !bind(r, t) {
			continue
		}
		n := 0
		if len(b.rows) > 1 {
			n = seen[r.id]
			seen[r.id]++
		}
		i := slices.IndexFunc(groups, func(g *group) bool {
			if g.table.Name != r.rec.Type {
				return false
			}
			n--
			return n < 0
		})
		if i < 0 {
			groups = append(groups, &group{scope: b.scope, atomic: b.atomic, table: newTable(snap, snap.Type(r.rec.Type), b.scope.actor)})
			i = len(groups) - 1
		}
		groups[i].rows = append(groups[i].rows, r)
	}
	for _, g := range groups {
		// One order for everybody: two batches with the same records do not deadlock.
		slices.SortFunc(g.rows, func(a, b *row) int { return strings.Compare(a.rec.Key, b.rec.Key) })
	}
	return groups
}

// keyed returns a way from a key to its row.
func keyed(rows []*row) func(key string) *row {
	if len(rows) == 1 {
		return func(string) *row { return rows[0] }
	}
	byKey := make(map[string]*row, len(rows))
	for _, r := range rows {
		byKey[r.rec.Key] = r
	}
	return func(key string) *row { return byKey[key] }
}

func keysOf(rows []*row) []string {
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.rec.Key
	}
	return keys
}

// explain finds out why a statement did not touch some of rows. A row that nothing stops stays open:
// somebody else was quicker, and the next try sees what they did.
func (g *group) explain(ctx context.Context, q pg.Querier, rows []*row, why func(r *row, found, here, allowed bool) *fault.Error) error {
	if !slices.ContainsFunc(rows, (*row).open) {
		return nil
	}
	open := slices.DeleteFunc(slices.Clone(rows), (*row).settled)
	if err := checkUnchanged(ctx, q, g.table.snap); err != nil {
		return err
	}
	byKey := keyed(open)
	found := map[*row]bool{}
	text, args := selectStanding(g, keysOf(open))
	err := q.Each(ctx, text, args, func(row pg.Row) error {
		var key string
		var here, allowed bool
		if err := row.Scan(&key, &here, &allowed); err != nil {
			return err
		}
		r := byKey(key)
		found[r] = true
		r.err = why(r, true, here, allowed)
		return nil
	})
	for _, r := range open {
		if err == nil && !found[r] {
			r.err = why(r, false, false, false)
		}
	}
	return err
}
