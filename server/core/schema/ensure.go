package schema

import (
	"context"
	"slices"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Ensure makes the types and fields of changes exist and returns a picture that has them. Allowed says
// whether the caller may change the schema. Durable on return, also when the caller's own work fails
// later. It fails with schema.conflict, schema.not_allowed, schema.no_target (all Incompatible),
// schema.bad_name, schema.too_many_columns (Invalid) or schema.no_postgis (NotSupported).
func (s *Service) Ensure(ctx context.Context, changes []Change, allowed bool) (*Snapshot, error) {
	wanted, err := merge(changes)
	if err != nil {
		return nil, err
	}
	snap, err := s.Current(ctx)
	if err != nil {
		return nil, err
	}
	missing, err := snap.missing(wanted)
	if err == nil && len(missing) == 0 {
		return snap, nil
	}
	// Another server may have added it, or removed what contradicts.
	if snap, err = s.Newer(ctx, snap); err != nil {
		return nil, err
	}
	missing, err = snap.missing(wanted)
	switch {
	case err != nil:
		return nil, err
	case len(missing) == 0:
		return snap, nil
	case !allowed:
		return nil, fault.New(fault.Incompatible, "schema.not_allowed", "%s does not exist and this caller may not change the schema; use the master key or DEV_MODE", missing[0].describe())
	}
	return s.migrate(ctx, wanted)
}

// migrate adds what is missing, one server after another, and tells the others.
func (s *Service) migrate(ctx context.Context, wanted []Change) (*Snapshot, error) {
	return s.reshape(ctx, func(ctx context.Context, tx *pg.Tx, snap *Snapshot) (bool, error) {
		missing, err := snap.missing(wanted)
		if err != nil || len(missing) == 0 {
			return false, err
		}
		return true, s.apply(ctx, tx, snap, missing)
	})
}

// reshape is change for types and fields, of which others on this server are told.
func (s *Service) reshape(ctx context.Context, fn func(context.Context, *pg.Tx, *Snapshot) (bool, error)) (*Snapshot, error) {
	changed := false
	snap, err := s.change(ctx, func(ctx context.Context, tx *pg.Tx, snap *Snapshot) (_ bool, err error) {
		changed, err = fn(ctx, tx, snap)
		return changed, err
	})
	if err == nil && changed {
		s.changed(ctx, snap)
	}
	return snap, err
}

// change runs fn while nobody else changes the schema, with the picture of that moment, and returns one
// that is not older than the end. fn says whether it changed anything; then the other servers hear of it.
func (s *Service) change(ctx context.Context, fn func(context.Context, *pg.Tx, *Snapshot) (bool, error)) (*Snapshot, error) {
	err := s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		var version int64
		if err := tx.Get(ctx, &version, lockVersion); err != nil {
			return err
		}
		snap, err := read(ctx, tx, s.db.Schema())
		if err != nil {
			return err
		}
		changed, err := fn(ctx, tx, snap)
		if err != nil || !changed {
			return err
		}
		return s.Raise(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return s.Newest(ctx)
}

// Raise raises the version of the schema and tells the other servers when tx commits. Whoever changes
// types, or rules about them, calls it in the same transaction.
func (s *Service) Raise(ctx context.Context, tx *pg.Tx) error {
	_, err := tx.Exec(ctx, raiseVersion, s.channel())
	return err
}

func (s *Service) apply(ctx context.Context, tx *pg.Tx, snap *Snapshot, missing []Change) error {
	geo := snap.GeoPath
	if geo == "" && slices.ContainsFunc(missing, Change.needsGeo) {
		path, err := s.installGeo(ctx, tx)
		if err != nil {
			return err
		}
		geo = path
	}
	// All tables first, so that fields of one can refer to another.
	for _, c := range missing {
		if snap.Type(c.Type) == nil {
			if _, err := tx.Exec(ctx, createTable(s.table(c.Type))); err != nil {
				return tableFault(err, c.Type)
			}
			if err := s.created(ctx, tx, c.Type); err != nil {
				return err
			}
		}
	}
	for _, c := range missing {
		if len(c.Fields) == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, s.addColumns(c, geo)); err != nil {
			return tableFault(err, c.Type)
		}
	}
	return nil
}

func (s *Service) table(name string) string {
	return s.db.Schema().SQL() + "." + pg.Ident(name).SQL()
}

func tableFault(err error, name string) error {
	switch pg.State(err).SQLState {
	case "42P07", "42710", "42809": // the name belongs to something that holds no records
		return fault.Wrap(err, fault.Incompatible, "schema.conflict", "the name %q is taken by something else in the database", name)
	case "54011":
		return fault.Wrap(err, fault.Invalid, "schema.too_many_columns", "record type %q has too many fields; a type holds at most %d", name, maxColumns-len(reserved))
	}
	return err
}

// installGeo returns the path of PostGIS, which it installs where it can be.
func (s *Service) installGeo(ctx context.Context, tx *pg.Tx) (string, error) {
	if s.noGeo.Load() {
		return "", NoPostGIS()
	}
	var available bool
	if err := tx.Get(ctx, &available, selectGeoAvailable); err != nil {
		return "", err
	}
	if !available {
		s.noGeo.Store(true)
		return "", NoPostGIS()
	}
	err := tx.Try(ctx, func(ctx context.Context) error {
		_, err := tx.Exec(ctx, createGeo)
		return err
	})
	if fault.Is(err, "pg.privilege") {
		s.noGeo.Store(true)
		return "", NoPostGIS()
	}
	if err != nil {
		return "", err
	}
	return geoSchema(ctx, tx)
}

// NoPostGIS is the answer to whoever needs locations where PostGIS is not installed.
func NoPostGIS() *fault.Error {
	return fault.New(fault.NotSupported, "schema.no_postgis", "locations and geometries need the PostgreSQL extension PostGIS, which is not installed on this database")
}

func (c Change) needsGeo() bool {
	return slices.ContainsFunc(c.Fields, func(f Field) bool { return f.Type.Kind == Location || f.Type.Kind == Geometry })
}

func (c Change) describe() string {
	if len(c.Fields) == 0 {
		return "record type " + c.Type
	}
	return "field " + c.Fields[0].Name + " of record type " + c.Type
}
