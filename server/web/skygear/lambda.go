package skygear

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"crema/server/core/acl"
	"crema/server/core/functions"
	"crema/server/web"
)

// lambda calls a function with the body's "args". A null result leaves the envelope empty.
func (d *Door) lambda(ctx context.Context, w http.ResponseWriter, c call, name string) error {
	f, err := d.c.Functions.Lookup(name)
	if err != nil {
		return err
	}
	caller, err := d.c.Gate.ForFunction(ctx, c.credentials, f.UserRequired, f.KeyRequired)
	if err != nil {
		return err
	}
	args := c.params["args"]
	if args == nil {
		args = json.RawMessage("{}")
	}
	if f.AnyArgs {
		body, err := json.Marshal(c.params)
		if err != nil {
			return fmt.Errorf("write a request for a function: %w", err)
		}
		ctx = functions.WithPayload(ctx, body)
	}
	result, err := d.c.Functions.Invoke(acl.WithActor(ctx, caller.Actor), name, args)
	if err != nil {
		return err
	}
	if result = bytes.TrimSpace(result); len(result) == 0 || string(result) == "null" {
		web.WriteRaw(w, http.StatusOK, []byte("{}\n"))
		return nil
	}
	b := append(make([]byte, 0, len(result)+16), `{"result":`...)
	b = append(b, result...)
	web.WriteRaw(w, http.StatusOK, append(b, "}\n"...))
	return nil
}
