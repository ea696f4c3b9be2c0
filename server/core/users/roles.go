package users

import (
	"context"
	"strings"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Roles returns the roles of an account, sorted; none for an unknown one.
func (s *Service) Roles(ctx context.Context, id string) ([]string, error) {
	var roles []string
	err := s.db.Select(ctx, &roles, selectRoles, id)
	return roles, err
}

// SetDefaultRoles says which roles everybody gets who signs up, and SetAdminRoles which ones make an
// administrator. Each replaces the whole set; roles that do not exist are made. They fail with
// users.bad_role.
func (s *Service) SetDefaultRoles(ctx context.Context, roles []string) error {
	return s.setRoles(ctx, setDefault, roles)
}

// SetAdminRoles is explained at SetDefaultRoles.
func (s *Service) SetAdminRoles(ctx context.Context, roles []string) error {
	return s.setRoles(ctx, setAdmin, roles)
}

func (s *Service) setRoles(ctx context.Context, statement string, roles []string) error {
	if err := checkRoles(roles); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, lockRoles); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertRoles, pg.Array(roles)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, statement, pg.Array(roles))
		return err
	})
}

// maxRole bounds the name of a role, in bytes.
const maxRole = 255

func checkRoles(roles []string) error {
	for _, r := range roles {
		if r == "" || len(r) > maxRole || strings.IndexByte(r, 0) >= 0 || !utf8.ValidString(r) {
			return fault.Argument("users.bad_role", "roles", "the name of a role is 1 to %d bytes of UTF-8 text without NUL characters", maxRole)
		}
	}
	return nil
}

// AssignRoles gives users roles. Roles that do not exist are made, users that do not are left out. It
// fails with users.bad_role. For administrators only.
func (s *Service) AssignRoles(ctx context.Context, users, roles []string) error {
	if err := checkRoles(roles); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, insertRoles, pg.Array(roles)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, assignRoles, pg.Array(users), pg.Array(roles))
		return err
	})
}

// RevokeRoles takes roles from users. Nothing need exist. For administrators only.
func (s *Service) RevokeRoles(ctx context.Context, users, roles []string) error {
	_, err := s.db.Exec(ctx, revokeRoles, pg.Array(users), pg.Array(roles))
	return err
}

// RolesOf returns the sorted roles of each user, an empty list for one without or unknown.
func (s *Service) RolesOf(ctx context.Context, users []string) (map[string][]string, error) {
	of := make(map[string][]string, len(users))
	for _, id := range users {
		of[id] = []string{}
	}
	err := s.db.Each(ctx, selectRolesOf, []any{pg.Array(users)}, func(row pg.Row) error {
		var id, role string
		err := row.Scan(&id, &role)
		of[id] = append(of[id], role)
		return err
	})
	return of, err
}
