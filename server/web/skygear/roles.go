package skygear

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"crema/server/base/fault"
	"crema/server/core/records"
	"crema/server/web"
)

func (d *Door) roleActions() map[string]action {
	return map[string]action{
		"role:default": {developer, d.setDefaultRoles},
		"role:admin":   {developer, d.setAdminRoles},
		"role:assign":  {admin, d.assignRoles},
		"role:revoke":  {admin, d.revokeRoles},
		"role:get":     {optional, d.rolesOf},
	}
}

func (d *Door) setDefaultRoles(ctx context.Context, w http.ResponseWriter, c call) error {
	return setRoles(ctx, w, c, d.c.Users.SetDefaultRoles)
}

func (d *Door) setAdminRoles(ctx context.Context, w http.ResponseWriter, c call) error {
	return setRoles(ctx, w, c, d.c.Users.SetAdminRoles)
}

func setRoles(ctx context.Context, w http.ResponseWriter, c call, set func(context.Context, []string) error) error {
	roles, err := names(c.params, "roles")
	if err != nil {
		return err
	}
	if err := set(ctx, roles); err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, map[string][]string{"result": roles})
	return nil
}

func (d *Door) assignRoles(ctx context.Context, w http.ResponseWriter, c call) error {
	return changeRoles(ctx, w, c, d.c.Users.AssignRoles)
}

func (d *Door) revokeRoles(ctx context.Context, w http.ResponseWriter, c call) error {
	return changeRoles(ctx, w, c, d.c.Users.RevokeRoles)
}

func changeRoles(ctx context.Context, w http.ResponseWriter, c call, change func(ctx context.Context, users, roles []string) error) error {
	roles, err := names(c.params, "roles")
	if err != nil {
		return err
	}
	users, err := names(c.params, "users")
	if err != nil {
		return err
	}
	return answerOK(w, change(ctx, users, roles))
}

// rolesOf tells everybody about themselves, and administrators about everybody.
func (d *Door) rolesOf(ctx context.Context, w http.ResponseWriter, c call) error {
	users, err := names(c.params, "users")
	switch {
	case err != nil:
		return err
	case len(users) == 0:
		return fault.Argument("skygear.no_names", "users", "users must be an array with at least one id")
	case c.caller.UserID == "" && !c.caller.Admin():
		return fault.New(fault.Unauthenticated, "web.user_required", "log in first, or use the master key")
	case !c.caller.Admin() && slices.ContainsFunc(users, func(id string) bool { return id != c.caller.UserID }):
		return fault.New(fault.Denied, "skygear.roles_of_others", "the roles of other users are for administrators")
	}
	of, err := d.c.Users.RolesOf(ctx, users)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, map[string]map[string][]string{"result": of})
	return nil
}

// names reads a parameter that must be an array of texts.
func names(p records.Params, name string) ([]string, error) {
	raw := notNull(p[name])
	if raw == nil {
		return nil, fault.Argument("skygear.no_names", name, "%s must be an array of texts", name)
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil || slices.Contains(list, nil) {
		return nil, wrongType(name, "an array of texts")
	}
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = *s
	}
	return texts, nil
}
