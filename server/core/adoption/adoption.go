package adoption

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Source is what an adoption works with.
type Source struct {
	DB         *pg.DB
	Migrations fs.FS
	Log        *slog.Logger
}

// Adopt looks whether the app's schema was made by Skygear v1 and this server has not seen it yet, and
// then makes it ours. It says whether it did. Servers that start together wait for each other, and one of
// them does it. It fails with adoption.layout (Incompatible), which names all that differs, and with
// adoption.privilege (NotConfigured); then, and after every other error, the database is as it was.
//
// Making the indexes of a table of a million records takes a few seconds, and the database grows by them.
func Adopt(ctx context.Context, s Source) (adopted bool, err error) {
	if old, err := s.isOld(ctx, s.DB); err != nil || !old {
		return false, err
	}
	err = s.DB.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		adopted, err = s.adopt(ctx, tx)
		return err
	})
	return adopted && err == nil, err
}

// isOld says whether the schema holds system tables, but no history of ours.
func (s Source) isOld(ctx context.Context, q pg.Querier) (bool, error) {
	known, err := s.DB.HasHistory(ctx, q)
	if err != nil || known {
		return false, err
	}
	p, err := look(ctx, q, s.DB.Schema())
	if err != nil {
		return false, err
	}
	for _, t := range layout {
		if p.tables[t.name] != nil && strings.HasPrefix(t.name, "_") {
			return true, nil
		}
	}
	return p.tables["_version"] != nil || p.tables["_user"] != nil, nil
}

// adopt does all of the work inside tx.
func (s Source) adopt(ctx context.Context, tx *pg.Tx) (bool, error) {
	if _, err := tx.Exec(ctx, unhurried); err != nil {
		return false, err
	}
	if err := pg.LockMigrations(ctx, tx); err != nil {
		return false, err
	}
	if old, err := s.isOld(ctx, tx); err != nil || !old { // another server was quicker
		return false, err
	}
	begun := time.Now()
	before, err := look(ctx, tx, s.DB.Schema())
	if err != nil {
		return false, err
	}
	add, version, err := s.check(ctx, tx, before)
	if err != nil {
		return false, err
	}
	s.Log.InfoContext(ctx, "a database of Skygear v1 was found; taking it over", "schema", string(s.DB.Schema()), "version", version)
	for _, step := range []func(context.Context, *pg.Tx) error{
		s.showCitext,
		func(ctx context.Context, tx *pg.Tx) error { return s.complete(ctx, tx, before, add) },
		func(ctx context.Context, tx *pg.Tx) error { return s.migrate(ctx, tx, before) },
		s.index,
		s.watch,
	} {
		if err := step(ctx, tx); err != nil {
			return false, s.explain(err)
		}
	}
	var logInBy []string
	if err := tx.Select(ctx, &logInBy, selectLogInBy, string(s.DB.Schema())); err != nil {
		return false, err
	}
	s.Log.InfoContext(ctx, "the old database is taken over; no row of it was changed", "record_types", before.recordTypes(), "log_in_by", strings.Join(logInBy, " or "), "took", time.Since(begun).Round(time.Millisecond).String())
	return true, nil
}

// check returns the columns to add. It refuses what the server would not work on.
func (s Source) check(ctx context.Context, q pg.Querier, p picture) (add []missing, version string, err error) {
	var differences []string
	for _, name := range []string{"_version", "_auth", "user"} {
		if p.tables[name] == nil {
			differences = append(differences, "there is no table "+name)
		}
	}
	if v := p.tables["_version"]; v != nil {
		if _, ok := v.column("version_num"); !ok {
			differences = append(differences, "_version has no column version_num")
		} else if err := q.Get(ctx, &version, selectVersion); err != nil {
			return nil, "", err
		}
	}
	if u := p.tables["_user"]; u != nil && !u.view {
		differences = append(differences, "_user is a table and should be a view (Skygear before 1.0 had it so)")
	}
	add, more := p.compare()
	if differences = append(differences, more...); len(differences) == 0 {
		return add, version, nil
	}
	return nil, version, s.refusal(version, differences)
}

// shown bounds how many differences an error tells.
const shown = 12

func (s Source) refusal(version string, differences []string) error {
	listed := differences
	if len(listed) > shown {
		listed = append(listed[:shown:shown], fmt.Sprintf("and %d more", len(differences)-shown))
	}
	if version == "" {
		version = "unknown"
	}
	return fault.New(fault.Incompatible, "adoption.layout",
		"schema %s was not made by this server, and is not what Skygear 1.7 leaves either (its version: %s): %s; nothing was changed; start skygear-server 1.7 on it once if it is older, mend it, or set APP_NAME to another name",
		s.DB.Schema(), version, strings.Join(listed, "; ")).With("differences", differences)
}

// explain names what somebody has to mend before the tables can be completed.
func (s Source) explain(err error) error {
	d := pg.State(err)
	switch d.SQLState {
	case "42501":
		return fault.Wrap(err, fault.NotConfigured, "adoption.privilege",
			"the old database can only be taken over by the owner of its tables: %s; nothing was changed; connect as the owner, or give everything in schema %s to the user of DATABASE_URL", d.Message, s.DB.Schema())
	case "42P07", "42710", "42723":
		return fault.Wrap(err, fault.Incompatible, "adoption.layout",
			"schema %s has something of its own under a name that this server needs: %s; nothing was changed; rename that", s.DB.Schema(), d.Message)
	}
	return err
}

// showCitext moves the type of names to where every statement finds it: else they would be compared with
// regard to case, and without an index.
func (s Source) showCitext(ctx context.Context, tx *pg.Tx) error {
	var where string
	if err := tx.Get(ctx, &where, selectHidden); err != nil || where == "" {
		return err
	}
	_, err := tx.Exec(ctx, showCitext)
	if pg.State(err).SQLState == "42501" {
		return fault.New(fault.NotConfigured, "adoption.privilege",
			"the extension citext is in schema %s, where statements do not find it, and this user may not move it; run as its owner: ALTER EXTENSION citext SET SCHEMA public", where)
	}
	return err
}

// complete brings old tables to what the last Skygear had.
func (s Source) complete(ctx context.Context, tx *pg.Tx, before picture, add []missing) error {
	for _, m := range add {
		if _, err := tx.Exec(ctx, addColumn(s.DB.Schema(), m)); err != nil {
			return err
		}
	}
	if v := before.tables["_user"]; v != nil && v.names() != viewColumns {
		if _, err := tx.Exec(ctx, dropView); err != nil {
			return fault.Wrap(err, fault.Incompatible, "adoption.layout",
				"view _user of schema %s has other columns than Skygear 1.7 gives it, and something depends on it; drop that first; nothing was changed", s.DB.Schema())
		}
	}
	return nil
}

// migrate adds our tables. Rules about fields that somebody removed from an old database stay removed.
func (s Source) migrate(ctx context.Context, tx *pg.Tx, before picture) error {
	var rules int
	kept := before.tables["_record_field_access"] != nil
	if kept {
		if err := tx.Get(ctx, &rules, countFieldRules); err != nil {
			return err
		}
	}
	if _, err := s.DB.MigrateIn(ctx, tx, s.Migrations); err != nil {
		return err
	}
	if kept && rules == 0 {
		_, err := tx.Exec(ctx, deleteFieldRules)
		return err
	}
	return nil
}

// index gives the record tables the indexes that ours have. Nobody else writes to them now, so they are
// not made concurrently: that could not be undone together with the rest.
func (s Source) index(ctx context.Context, tx *pg.Tx) error {
	p, err := look(ctx, tx, s.DB.Schema())
	if err != nil {
		return err
	}
	for _, f := range p.sorted() {
		if !f.holdsRecords() {
			continue
		}
		begun := time.Now()
		for _, definition := range f.unindexed() {
			if _, err := tx.Exec(ctx, createIndex(s.DB.Schema(), f.name, definition)); err != nil {
				return err
			}
		}
		if took := time.Since(begun); took > time.Second {
			s.Log.InfoContext(ctx, "indexes made", "record_type", f.name, "took", took.Round(time.Millisecond).String())
		}
	}
	return nil
}

// watch lets devices go on hearing of what they had subscribed to.
func (s Source) watch(ctx context.Context, tx *pg.Tx) error {
	var names []string
	if err := tx.Select(ctx, &names, selectUnwatched, string(s.DB.Schema())); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := tx.Exec(ctx, watch(s.DB.Schema(), name)); err != nil {
			return err
		}
	}
	return nil
}

func (p picture) recordTypes() int {
	n := 0
	for _, f := range p.tables {
		if f.holdsRecords() {
			n++
		}
	}
	return n
}
