package adoption

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/base/pgdump"
)

// Dump is a dump of an old database.
type Dump struct {
	Script  io.Reader // what pg_dump writes in its format plain
	AppName string    // which app of it; "": the only one
	// Progress is told of every table when its rows are in; nil tells nobody.
	Progress func(table string, rows int64)
}

// Summary says what an Import has brought.
type Summary struct {
	From    string // the schema in the dump
	Version string // of Skygear's own migrations
	Users   int64
	Roles   int64
	Assets  int64
	Types   []TypeCount // by name
	LogInBy []string    // the sets of fields that were unique for log-in, joined with commas
	Skipped []string    // what of the dump was left out, and why
}

// TypeCount is a record type with its number of records.
type TypeCount struct {
	Name string
	Rows int64
}

// Rows adds up the records of all types.
func (s Summary) Rows() (n int64) {
	for _, t := range s.Types {
		n += t.Rows
	}
	return n
}

// SchemaOf returns the schema of a Skygear app. Wire: skygear §3.4.
func SchemaOf(appName string) string {
	return "app_" + strings.NewReplacer(".", "_", ":", "_").Replace(strings.ToLower(appName))
}

// Import puts a dump into the app's schema and adopts it. A schema that a server has made, and that
// nobody has used, gives way to it. No server may run on the schema meanwhile. All happens in one
// transaction: after an error everything is as it was, and Import may be called again.
//
// Reasons: adoption.not_a_dump, adoption.cut_off, adoption.no_app, adoption.many_apps, adoption.in_use,
// adoption.restore, adoption.layout.
func Import(ctx context.Context, s Source, d Dump) (sum Summary, err error) {
	err = s.DB.Load(ctx, func(ctx context.Context, l *pg.Load) error {
		moved, err := s.makeRoom(ctx, l.Tx)
		if err != nil {
			return err
		}
		r := restore{Source: s, Dump: d, load: l, in: pgdump.NewReader(d.Script), left: map[string]int{}, made: map[string]bool{}}
		if err := r.all(ctx); err != nil {
			return err
		}
		if err := l.Run(ctx, afterRestore); err != nil {
			return err
		}
		if err := s.rename(ctx, l, r.from); err != nil {
			return err
		}
		if _, err := s.adopt(ctx, l.Tx); err != nil {
			return err
		}
		if moved {
			if err := s.forget(ctx, l.Tx); err != nil {
				return err
			}
		}
		sum = Summary{From: r.from, Skipped: r.skipped()}
		return sum.count(ctx, l.Tx, s.DB.Schema())
	})
	return sum, err
}

// makeRoom moves what a server has made on its first start out of the way. It refuses to move anything
// else. It says whether there was something.
func (s Source) makeRoom(ctx context.Context, tx *pg.Tx) (moved bool, err error) {
	if _, err := tx.Exec(ctx, unhurried); err != nil {
		return false, err
	}
	if err := pg.LockMigrations(ctx, tx); err != nil {
		return false, err
	}
	p, err := look(ctx, tx, s.DB.Schema())
	if err != nil || len(p.tables) == 0 {
		return false, err
	}
	if known, err := s.DB.HasHistory(ctx, tx); err != nil {
		return false, err
	} else if !known {
		return false, s.inUse("it holds tables that this server did not make; if that is the old database, start the server: it takes it over")
	}
	var used []string
	for _, f := range p.sorted() {
		if f.view {
			continue
		}
		is, err := s.isUsed(ctx, tx, f)
		if err != nil {
			return false, err
		}
		if is {
			used = append(used, f.name)
		}
	}
	if len(used) > 0 {
		return false, s.inUse("there is something of its own in " + strings.Join(used, ", "))
	}
	_, err = tx.Exec(ctx, renameSchema(s.DB.Schema(), s.aside()))
	return true, err
}

// aside is where an unused schema is during an import.
func (s Source) aside() pg.Ident { return s.DB.Schema() + "_unused" }

// untouched says which tables hold rows from the first start on, and how to see that they are no others:
// "" where it cannot be seen, or does not matter.
var untouched = map[string]string{
	"_migration": "", "_schema_version": "", "_schema_kept": "", "_sweep": "",
	"_product":             "", // see forget
	"_role":                hasOtherRoles,
	"_record_field_access": hasOtherFieldRules,
}

// isUsed says whether somebody has put something into a table, or has made it.
func (s Source) isUsed(ctx context.Context, q pg.Querier, f *found) (used bool, err error) {
	statement, seeded := untouched[f.name]
	switch {
	case f.holdsRecords() && f.name != "user" && f.name != "payment_record":
		return true, nil
	case !seeded:
		statement = holdsRows(s.DB.Schema(), f.name)
	case statement == "":
		return false, nil
	}
	err = q.Get(ctx, &used, statement)
	return used, err
}

// forget removes the schema that was unused. The catalogue of a shop may have been changed with psql.
func (s Source) forget(ctx context.Context, tx *pg.Tx) error {
	var changed bool
	if err := tx.Get(ctx, &changed, rowsDiffer(s.aside(), s.DB.Schema(), "_product")); err != nil {
		return err
	}
	if changed {
		return s.inUse("its catalogue, _product, is not the one of the first start")
	}
	_, err := tx.Exec(ctx, dropSchema(s.aside()))
	return err
}

func (s Source) inUse(why string) error {
	return fault.New(fault.Duplicate, "adoption.in_use",
		"a dump goes into a schema that nobody has used, and %s of %s is in use: %s; nothing was changed; give another APP_NAME (app.json: name), another CREMA_DATA or an empty database",
		s.DB.Schema(), s.DB.Named(), why)
}

// rename gives the restored schema the name of this app's.
func (s Source) rename(ctx context.Context, l *pg.Load, from string) error {
	if from == string(s.DB.Schema()) {
		return nil
	}
	_, err := l.Exec(ctx, renameSchema(pg.Ident(from), s.DB.Schema()))
	return err
}

// restore is an Import under way.
type restore struct {
	Source
	Dump
	load *pg.Load
	in   *pgdump.Reader
	apps []string        // schemas of apps in the dump
	from string          // the one that is taken, once it is known
	left map[string]int  // pieces of other schemas that were left out
	lost []string        // what could not be restored and is not needed
	made map[string]bool // tables of schema public
}

// all runs the script to its end.
func (r *restore) all(ctx context.Context) error {
	for {
		p, err := r.in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return r.choose()
		case errors.Is(err, pgdump.ErrNotDump):
			return fault.Wrap(err, fault.BadRequest, "adoption.not_a_dump", "this is not what pg_dump writes; make the dump with: pg_dump -Fc -f app.dump <old database>")
		case err != nil:
			return cutOff(err)
		}
		if err := r.piece(ctx, p); err != nil {
			return err
		}
	}
}

// cutOff explains an error of reading.
func cutOff(err error) error {
	if errors.Is(err, pgdump.ErrCut) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Wrap(err, fault.BadRequest, "adoption.cut_off", "the dump ends too early: copy it again; nothing was changed")
	}
	return err
}

// piece runs, tries or leaves out one piece.
func (r *restore) piece(ctx context.Context, p pgdump.Piece) error {
	switch {
	case p.Kind == pgdump.Setting:
		return r.run(ctx, p)
	case p.Type == "SCHEMA":
		return r.schema(ctx, p)
	case strings.HasPrefix(p.Schema, "app_"):
		if err := r.choose(); err != nil {
			return err
		}
	}
	switch {
	case p.Type == "EXTENSION":
		return r.extension(ctx, p)
	case p.Type == "ACL", p.Type == "DEFAULT ACL", p.Type == "SECURITY LABEL", isNotice(p):
		return nil // rights of others, and triggers that ours replace
	case r.from != "" && p.Schema == r.from:
		return r.run(ctx, p)
	case p.Schema == "public":
		return r.public(ctx, p)
	}
	return r.leave(p)
}

// leave passes over a piece. An empty table is nothing to tell of.
func (r *restore) leave(p pgdump.Piece) error {
	something := p.Kind != pgdump.Copy
	for {
		_, more, err := r.in.Row()
		if err != nil {
			return cutOff(err)
		}
		if !more {
			break
		}
		something = true
	}
	if something && p.Type != "SEQUENCE SET" {
		r.left[p.Schema]++
	}
	return nil
}

// isNotice recognizes how Skygear noted changes of records.
func isNotice(p pgdump.Piece) bool {
	return p.Type == "TRIGGER" && strings.HasSuffix(p.Name, " trigger_notify_record_change") ||
		p.Schema == "public" && (strings.HasPrefix(p.Name, "pending_notification") || strings.HasPrefix(p.Name, "notify_record_change("))
}

// schema notes an app of the dump, and makes the schema of the one that is wanted.
func (r *restore) schema(ctx context.Context, p pgdump.Piece) error {
	if !strings.HasPrefix(p.Name, "app_") {
		return nil
	}
	r.apps = append(r.apps, p.Name)
	if r.AppName != "" && p.Name != SchemaOf(r.AppName) {
		return nil
	}
	var taken bool
	if err := r.load.Get(ctx, &taken, schemaExists, p.Name); err != nil {
		return err
	}
	if taken && r.from == "" {
		return fault.New(fault.Duplicate, "adoption.in_use",
			"the dump wants to be restored into schema %s, which exists in %s already, and not as that of this app; rename that schema, or restore the dump yourself", p.Name, r.DB.Named())
	}
	return r.run(ctx, p)
}

// choose decides which app is taken when the first thing inside one comes. Schemas stand first.
func (r *restore) choose() error {
	if r.from != "" {
		return nil
	}
	wanted := SchemaOf(r.AppName)
	switch {
	case len(r.apps) == 0:
		return fault.New(fault.BadRequest, "adoption.no_app", "the dump holds no app of Skygear: there is no schema app_<name> in it; nothing was changed")
	case r.AppName == "" && len(r.apps) > 1:
		return fault.New(fault.BadRequest, "adoption.many_apps", "the dump holds several apps; choose one with --app-name: %s; nothing was changed", appNames(r.apps))
	case r.AppName == "":
		r.from = r.apps[0]
		return nil
	}
	for _, app := range r.apps {
		if app == wanted {
			r.from = app
			return nil
		}
	}
	return fault.New(fault.BadRequest, "adoption.no_app", "the dump does not hold the app %s, but: %s; nothing was changed", r.AppName, appNames(r.apps))
}

func appNames(schemas []string) string {
	names := make([]string, len(schemas))
	for i, s := range schemas {
		names[i] = strings.TrimPrefix(s, "app_")
	}
	return strings.Join(names, ", ")
}

// extension installs what the dump asks for, as far as it can be had. Where that is not enough, a table
// says so.
func (r *restore) extension(ctx context.Context, p pgdump.Piece) error {
	err := r.try(ctx, p)
	if err != nil || p.Name != "citext" {
		return err
	}
	// It may be somewhere else here; the dump names its types by their place.
	if _, where, ok := strings.Cut(strings.TrimSpace(p.Text), " WITH SCHEMA "); ok {
		p.Text = moveCitext(where)
		return r.try(ctx, p)
	}
	return nil
}

// isOurs tells a failure of the database from one of the dump.
func isOurs(err error) bool {
	return fault.HasCode(err, fault.Unavailable) || fault.HasCode(err, fault.DatabaseUnavailable) || fault.HasCode(err, fault.Timeout)
}

// public takes what the app may need of schema public; what is there already stays.
func (r *restore) public(ctx context.Context, p pgdump.Piece) error {
	isData := p.Type == "TABLE DATA" || p.Type == "SEQUENCE SET"
	if isData && !r.made[p.Name] {
		return r.leave(p)
	}
	if isData {
		return r.run(ctx, p)
	}
	before := len(r.lost)
	err := r.try(ctx, p)
	r.made[p.Name] = r.made[p.Name] || len(r.lost) == before && (p.Type == "TABLE" || p.Type == "SEQUENCE")
	return err
}

// try runs a piece that is not needed for certain.
func (r *restore) try(ctx context.Context, p pgdump.Piece) error {
	err := r.load.Try(ctx, func(ctx context.Context) error { return r.load.Run(ctx, p.Text) })
	if pg.State(err).SQLState == "" || isOurs(err) {
		return err
	}
	r.lost = append(r.lost, fmt.Sprintf("%s %s: %s", strings.ToLower(p.Type), p.Name, pg.State(err).Message))
	return nil
}

func (r *restore) run(ctx context.Context, p pgdump.Piece) error {
	var rows int64
	var err error
	if p.Kind == pgdump.Copy {
		rows, err = r.load.Copy(ctx, strings.TrimSuffix(p.Text, ";"), r.in.Row)
		if err == nil && r.Progress != nil {
			r.Progress(p.Name, rows)
		}
	} else {
		err = r.load.Run(ctx, p.Text)
	}
	if d := pg.State(err); d.SQLState != "" {
		return r.refusedBy(err, p, d)
	}
	return cutOff(err)
}

func (r *restore) refusedBy(err error, p pgdump.Piece, d pg.Detail) error {
	if isOurs(err) {
		return err
	}
	hint := ""
	if len(r.lost) > 0 { // such as an extension whose type is missing now
		hint = "; this was left out before: " + strings.Join(r.lost, "; ")
	}
	if strings.Contains(hint, "extension postgis:") {
		hint += "; install PostGIS for this PostgreSQL (Debian, Ubuntu: apt-get install postgresql-<version>-postgis-3)"
	}
	return fault.Wrap(err, fault.Incompatible, "adoption.restore",
		"%s %s of the dump cannot be restored: %s%s; nothing was changed", strings.ToLower(p.Type), p.Name, d.Message, hint)
}

// skipped tells what was left out.
func (r *restore) skipped() []string {
	list := r.lost
	for _, name := range slices.Sorted(maps.Keys(r.left)) {
		switch {
		case name == "-" || name == "":
		case strings.HasPrefix(name, "app_"):
			list = append(list, fmt.Sprintf("schema %s: another app", name))
		default:
			list = append(list, fmt.Sprintf("%d entries of schema %s: no part of the app", r.left[name], name))
		}
	}
	return list
}
