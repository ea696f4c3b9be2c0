package records

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

// Query returns the records that match and that the actor may read. A type without a table has none.
// Errors: Invalid for a wrong shape, QueryInvalid for fields that do not exist, NotSupported for
// comparisons that cannot be made. Wire: skygear §3.7.
func (s *Service) Query(ctx context.Context, q Query) (Page, error) {
	sc, err := s.scope(ctx, q.Database)
	if err != nil {
		return Page{}, err
	}
	if q.Type == "" {
		return Page{}, fault.Argument("records.no_type", "record_type", "record_type must be the name of a record type")
	}
	if q.Offset < 0 || q.Limit != nil && *q.Limit < 0 {
		return Page{}, fault.Argument("records.bad_query", "limit", "limit and offset must be whole numbers from 0")
	}
	var page Page
	err = s.fresh(ctx, func(snap *schema.Snapshot) error {
		p, err := s.plan(ctx, snap, sc, q)
		if err != nil {
			return err
		}
		if page, err = p.run(ctx, s.db); err == nil && p.hasAssets() {
			err = s.Describe(ctx, page.Records...)
		}
		return p.explain(err)
	})
	for _, rec := range page.Records {
		s.met.add(rec)
	}
	return page, err
}

// Match returns the positions of those rows which q finds for the actor of ctx. A row is JSON by column,
// as a trigger of q's type saw it; whether it is still in the table does not matter. Only q's database,
// type and predicate count. Without rows the query is only checked. Errors: those of Query, and
// pg.bad_value when a row does not fit its table any more.
func (s *Service) Match(ctx context.Context, q Query, rows []json.RawMessage) ([]int, error) {
	sc, err := s.scope(ctx, q.Database)
	if err != nil {
		return nil, err
	}
	var found []int
	err = s.fresh(ctx, func(snap *schema.Snapshot) error {
		p, err := s.plan(ctx, snap, sc, Query{Database: q.Database, Type: q.Type, Where: q.Where})
		if err != nil || p.table == nil || len(rows) == 0 {
			return err
		}
		found, err = p.match(ctx, s.db, rows)
		return p.limits(err)
	})
	return found, err
}

func (p *plan) match(ctx context.Context, db *pg.DB, rows []json.RawMessage) ([]int, error) {
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, fault.From(err)
	}
	text := p.matchText(p.args.add(string(list)))
	var found []int
	err = each(ctx, db, p.snap, text, p.args, func(row pg.Row) error {
		var n int
		err := row.Scan(&n)
		found = append(found, n-1)
		return err
	})
	return found, err
}

// explain names what only PostgreSQL finds wrong with a query.
func (p *plan) explain(err error) error {
	if strings.HasPrefix(pg.State(err).SQLState, "22") {
		return fault.Wrap(err, fault.Invalid, "records.bad_literal", "a value in the predicate cannot be compared with its field").With("arguments", []string{"predicate"})
	}
	return p.limits(err)
}

// limits names what PostgreSQL and PostGIS cannot work with.
func (p *plan) limits(err error) error {
	state := pg.State(err).SQLState
	switch {
	case strings.HasPrefix(state, "54"):
		return fault.Wrap(err, fault.Invalid, "records.too_complex", "the query is too complex")
	case state == "XX000" && p.shapes:
		return fault.Wrap(err, fault.Invalid, "records.bad_geometry", "a geometry in the predicate is not understood").With("arguments", []string{"predicate"})
	}
	return err
}

// plan compiles q. What snap does not know may have been made by another server just now, so the
// schema is looked at again before that counts.
func (s *Service) plan(ctx context.Context, snap *schema.Snapshot, sc scope, q Query) (*plan, error) {
	p, err := newPlan(snap, sc, q)
	if err == nil && p.table != nil {
		return p, nil
	}
	newer, nerr := s.schema.Newer(ctx, snap)
	if nerr != nil || newer == snap {
		return p, cmpErr(nerr, err)
	}
	return newPlan(newer, sc, q)
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// plan is a compiled query.
type plan struct {
	compiler
	scope   scope
	query   Query
	where   string
	listed  bool // only the access lists choose: a plan for one user is not one for another
	used    int  // arguments that where and its joins use
	needed  int  // joins that where uses
	order   string
	offset  string
	columns []schema.Column // of the page; fewer than the table's when some are desired
	include []include
}

// include is something beside the record that comes with it.
type include struct {
	name   string
	sql    string
	target *schema.Type // nil: a number
}

func newPlan(snap *schema.Snapshot, sc scope, q Query) (*plan, error) {
	p := &plan{compiler: compiler{snap: snap, actor: sc.actor, use: acl.CompareField}, scope: sc, query: q}
	if t := snap.Type(q.Type); t != nil {
		p.table = newTable(snap, t, sc.actor)
		p.columns = t.Columns
	}
	if err := p.filter(); err != nil {
		return nil, err
	}
	if err := p.sort(); err != nil {
		return nil, err
	}
	if err := p.includes(); err != nil {
		return nil, err
	}
	if q.Offset > 0 {
		p.offset = p.args.add(q.Offset) // it varies; a text for each would push others out of what is prepared
	}
	return p, p.desire()
}

// filter compiles the database, the access rules and the predicate. In a private database everything is
// its user's, and _union is for the master key.
func (p *plan) filter() error {
	conditions := []string{unchanged(p.snap, p.args.add), p.scope.inDatabase("t", p.args.add)}
	if p.scope.database == "" && !p.scope.union && !p.scope.actor.Master() {
		conditions = append(conditions, acl.Granted(p.scope.actor, acl.Read, "t", p.args.add))
		p.listed = true
	}
	if list, ok := p.query.Where.([]any); p.query.Where != nil && (!ok || len(list) > 0) {
		condition, err := p.predicate(p.query.Where, 0, true)
		if err != nil {
			return err
		}
		conditions = append(conditions, condition)
		p.listed = false
	}
	p.where, p.used, p.needed = strings.Join(conditions, " AND "), len(p.args), len(p.joins)
	return nil
}

func (p *plan) sort() error {
	parts := make([]string, 0, len(p.query.Sort))
	for _, v := range p.query.Sort {
		pair, ok := v.([]any)
		if !ok || len(pair) != 2 || pair[1] != "asc" && pair[1] != "desc" {
			return fault.Argument("records.bad_query", "sort", "sort must be an array of [key path, \"asc\" or \"desc\"]")
		}
		o, err := p.operand(pair[0])
		switch {
		case err != nil:
			return err
		case o.kind == isLiteral:
			return fault.Argument("records.bad_query", "sort", "records are sorted by a key path or a distance, not by a literal")
		case o.kind == schema.Unknown:
			return notComparable()
		case pair[1] == "desc":
			o.sql += " DESC"
		}
		parts = append(parts, o.sql)
	}
	if p.order = strings.Join(parts, ", "); p.order != "" {
		p.order = " ORDER BY " + p.order
	}
	return nil
}

func (p *plan) includes() error {
	p.use = acl.ReadField
	for _, name := range slices.Sorted(maps.Keys(p.query.Include)) {
		o, err := p.operand(p.query.Include[name])
		if err != nil {
			return err
		}
		if p.table == nil {
			continue
		}
		i := include{name: name, sql: o.sql}
		switch {
		case o.kind == isLiteral:
			return fault.Argument("records.bad_query", "include", "include takes key paths and distances, not literals")
		case o.column != nil && o.kind == schema.Ref:
			i.target = p.snap.Type(o.column.Target)
		case o.sql == "t._owner_id" || o.sql == "t._created_by" || o.sql == "t._updated_by":
			i.target = p.snap.Type("user")
		case o.column != nil || o.kind != schema.Number:
			return unknownField("include %q is no reference", clip(name))
		}
		p.include = append(p.include, i)
	}
	return nil
}

// desire limits the data columns. Reserved ones always come.
func (p *plan) desire() error {
	if p.query.Desired == nil || p.table == nil {
		return nil
	}
	p.columns = []schema.Column{}
	for _, name := range p.query.Desired {
		if strings.HasPrefix(name, "_") {
			continue
		}
		c := p.table.Column(name)
		if c == nil {
			return unknownField("record type %s has no field %q", p.table.Name, clip(name))
		}
		if !slices.ContainsFunc(p.columns, func(o schema.Column) bool { return o.Name == name }) {
			p.columns = append(p.columns, *c)
		}
	}
	if p.table.Guarded && !p.scope.actor.Master() { // its rules may look at other fields
		p.table.desired = append([]string{}, p.query.Desired...)
		return nil
	}
	p.table.columns = p.columns
	return nil
}

func (p *plan) run(ctx context.Context, db *pg.DB) (Page, error) {
	page := Page{Records: []*Record{}}
	if p.table == nil {
		if p.query.Count {
			page.Count = new(int)
		}
		return page, nil
	}
	if p.query.Limit == nil || *p.query.Limit > 0 {
		if err := p.read(ctx, db, &page); err != nil {
			return page, err
		}
	}
	if p.query.Count && page.Count == nil { // no row came that could carry the count
		n := 0
		if err := db.Get(ctx, &n, p.countText(), p.args[:p.used]...); err != nil {
			return page, err
		}
		page.Count = &n
	}
	if len(page.Records) == 0 {
		return page, checkUnchanged(ctx, db, p.snap)
	}
	return page, p.load(ctx, db, page.Records)
}

// read runs the query; included columns wait in Transient as they came.
func (p *plan) read(ctx context.Context, db *pg.DB, page *Page) error {
	extra := len(p.include)
	if p.query.Count {
		extra++
	}
	r := newReaderWith(p.table, extra)
	each := db.Each
	if p.listed {
		each = db.Search
	}
	return each(ctx, p.pageText(), p.args, func(row pg.Row) error {
		rec, err := r.read(row)
		if err != nil {
			return err
		}
		values := r.extra()
		for i := range p.include {
			rec.Transient = append(rec.Transient, Field{p.include[i].name, values[i]})
		}
		if p.query.Count && page.Count == nil {
			total, _ := values[len(p.include)].(int64)
			n := int(total)
			page.Count = &n
		}
		page.Records = append(page.Records, rec)
		return nil
	})
}

// hasAssets says whether what the query returns may hold assets.
func (p *plan) hasAssets() bool {
	return p.table != nil && p.table.HasAssets ||
		slices.ContainsFunc(p.include, func(i include) bool { return i.target != nil && i.target.HasAssets })
}

// load replaces the keys in Transient by the records that the actor may read, in one statement for each
// thing included. Wire: skygear B7.
func (p *plan) load(ctx context.Context, db *pg.DB, records []*Record) error {
	for i, inc := range p.include {
		if inc.target == nil || len(records) == 0 {
			continue
		}
		found, err := p.fetch(ctx, db, inc.target, records, i)
		if err != nil {
			return err
		}
		for _, rec := range records {
			f := &rec.Transient[i]
			if target := found[textOf(f.Value)]; target != nil {
				f.Value = target
			} else {
				f.Value = nil
			}
		}
	}
	return nil
}

func (p *plan) fetch(ctx context.Context, db *pg.DB, target *schema.Type, records []*Record, i int) (map[string]*Record, error) {
	found := map[string]*Record{}
	for _, rec := range records {
		if key := textOf(rec.Transient[i].Value); key != "" {
			found[key] = nil
		}
	}
	if len(found) == 0 {
		return found, nil
	}
	t := newTable(p.snap, target, p.scope.actor)
	text, args := selectByKeys(t, p.scope, slices.Sorted(maps.Keys(found)))
	r := newReaderWith(t, 1)
	err := each(ctx, db, p.snap, text, args, func(row pg.Row) error {
		rec, err := r.read(row)
		allowed, _ := r.extra()[0].(bool)
		if err == nil && (allowed || p.scope.database != "") {
			found[rec.Key] = rec
		}
		return err
	})
	return found, err
}
