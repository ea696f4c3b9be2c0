package skygear

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/core/relations"
	"crema/server/web"
)

// relationActions ask for a user in the room: an account that may not act counts as nobody here, and
// nobody is refused. Wire: skygear T8, T45.
func (d *Door) relationActions() map[string]action {
	return map[string]action{
		"relation:query":  {reader, d.queryRelation},
		"relation:add":    {reader, d.addRelation},
		"relation:remove": {reader, d.removeRelation},
	}
}

func (d *Door) queryRelation(ctx context.Context, w http.ResponseWriter, c call) error {
	q := relations.Query{Name: records.Text(c.params, "name"), Direction: relations.Direction(records.Text(c.params, "direction"))}
	var err error
	if q.Limit, q.Offset, err = records.DecodePaging(c.params); err != nil {
		return err
	}
	page, err := d.c.Relations.Query(ctx, q)
	if err != nil {
		return err
	}
	b := strconv.AppendInt([]byte(`{"info":{"count":`), int64(page.Count), 10)
	return writeTargets(w, append(b, `},"result":`...), page.Targets)
}

func (d *Door) addRelation(ctx context.Context, w http.ResponseWriter, c call) error {
	return changeRelation(ctx, w, c, d.c.Relations.Add)
}

func (d *Door) removeRelation(ctx context.Context, w http.ResponseWriter, c call) error {
	return changeRelation(ctx, w, c, d.c.Relations.Remove)
}

func changeRelation(ctx context.Context, w http.ResponseWriter, c call, change func(context.Context, string, []string) ([]relations.Target, error)) error {
	var ids []string
	if err := decodeGiven(c.params, "targets", &ids); err != nil {
		return err
	}
	targets, err := change(ctx, records.Text(c.params, "name"), ids)
	if err != nil {
		return err
	}
	return writeTargets(w, []byte(`{"result":`), targets)
}

func writeTargets(w http.ResponseWriter, b []byte, targets []relations.Target) error {
	b = append(b, '[')
	for i, t := range targets {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTarget(b, t)
	}
	web.WriteRaw(w, http.StatusOK, append(b, "]}\n"...))
	return nil
}

func appendTarget(b []byte, t relations.Target) []byte {
	b = acl.AppendString(append(b, `{"id":`...), t.ID)
	switch {
	case t.Err != nil:
		b = appendError(append(b, `,"type":"error","data":`...), t.Err)
	case t.Record != nil:
		b = records.AppendJSON(append(b, `,"type":"user","data":`...), t.Record)
	}
	return append(b, '}')
}

// appendError appends the error object of one entry of a list.
func appendError(b []byte, err *fault.Error) []byte {
	text, merr := json.Marshal(web.Wire(err))
	if merr != nil {
		return append(b, "{}"...)
	}
	return append(b, text...)
}
