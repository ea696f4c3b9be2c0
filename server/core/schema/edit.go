package schema

import (
	"context"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Rename gives a field another name. Its values, its references and the rules about it stay with it;
// requests that were planned with the old name start again with the new picture. The caller has checked
// who asks. It fails with schema.bad_name (Invalid) and, all NotFound as the wire has it, schema.no_field,
// schema.taken and schema.kept. Wire: skygear §2.6.
func (s *Service) Rename(ctx context.Context, typ, field, name string) (*Snapshot, error) {
	if err := checkItem(typ, field); err != nil {
		return nil, err
	}
	if err := checkArgument("new_name", "field", name); err != nil {
		return nil, err
	}
	return s.reshape(ctx, func(ctx context.Context, tx *pg.Tx, snap *Snapshot) (bool, error) {
		c, err := s.editable(ctx, tx, snap, typ, field)
		if err != nil || field == name {
			return false, err
		}
		if snap.Type(typ).Column(name) != nil {
			return false, fault.New(fault.NotFound, "schema.taken", "record type %s has a field %s already", typ, name)
		}
		var keys []string
		if err := tx.Select(ctx, &keys, selectForeignKeys, string(s.db.Schema()), typ, field); err != nil {
			return false, err
		}
		for _, statement := range renameColumn(snap.Type(typ).Table, c, name, keys) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return false, editFault(err, typ, field)
			}
		}
		_, err = tx.Exec(ctx, moveRules, typ, field, name)
		return true, err
	})
}

// Delete removes a field with all its values; the rules about it stay for a field that gets the name
// again. The caller has checked who asks. It fails with schema.bad_name (Invalid), schema.no_field,
// schema.kept and schema.in_use (NotFound). Wire: skygear §2.6.
func (s *Service) Delete(ctx context.Context, typ, field string) (*Snapshot, error) {
	if err := checkItem(typ, field); err != nil {
		return nil, err
	}
	return s.reshape(ctx, func(ctx context.Context, tx *pg.Tx, snap *Snapshot) (bool, error) {
		c, err := s.editable(ctx, tx, snap, typ, field)
		if err != nil {
			return false, err
		}
		_, err = tx.Exec(ctx, dropColumn(snap.Type(typ).Table, c))
		return true, editFault(err, typ, field)
	})
}

// editable returns a field that may be renamed or deleted. Fields that the server itself works with
// may not: without them nobody logs in, and a payment could not be stored.
func (s *Service) editable(ctx context.Context, tx *pg.Tx, snap *Snapshot, typ, field string) (*Column, error) {
	t := snap.Type(typ)
	if t == nil {
		return nil, fault.New(fault.NotFound, "schema.no_type", "there is no record type %s", clip(typ))
	}
	c := t.Column(field)
	if c == nil {
		return nil, fault.New(fault.NotFound, "schema.no_field", "record type %s has no field %s", clip(typ), clip(field))
	}
	var kept bool
	if err := tx.Get(ctx, &kept, selectKept, string(s.db.Schema()), typ, field); err != nil {
		return nil, err
	}
	if kept {
		return nil, fault.New(fault.NotFound, "schema.kept", "the server itself works with field %s of record type %s; it can be neither renamed nor deleted", field, typ)
	}
	return c, nil
}

func checkItem(typ, field string) error {
	if err := checkArgument("record_type", "record type", typ); err != nil {
		return err
	}
	return checkArgument("item_name", "field", field)
}

// checkArgument is CheckName for a parameter of the wire.
func checkArgument(argument, what, name string) error {
	if err := CheckName(what, name); err != nil {
		return fault.From(err).With("arguments", []string{argument})
	}
	return nil
}

// editFault says what PostgreSQL refused because something outside this server's knowledge hangs on
// the column.
func editFault(err error, typ, field string) error {
	if pg.State(err).SQLState == "2BP01" {
		return fault.Wrap(err, fault.NotFound, "schema.in_use", "something in the database depends on field %s of record type %s, such as a view", field, typ)
	}
	return err
}
