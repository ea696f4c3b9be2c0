package skygear

import (
	"context"
	"net/http"
	"strconv"

	"crema/server/base/fault"
	"crema/server/core/records"
	"crema/server/web"
)

func (d *Door) recordActions() map[string]action {
	return map[string]action{
		"record:fetch":  {reader, d.fetch},
		"record:query":  {reader, d.query},
		"record:save":   {loggedIn, d.save},
		"record:delete": {loggedIn, d.delete},
	}
}

func (d *Door) save(ctx context.Context, w http.ResponseWriter, c call) error {
	req, err := records.DecodeSave(c.params)
	if err != nil {
		return err
	}
	results, err := d.c.Records.Save(ctx, req)
	if err != nil {
		return err
	}
	return writeResults(w, results)
}

func (d *Door) fetch(ctx context.Context, w http.ResponseWriter, c call) error {
	req, err := records.DecodeIDs(c.params)
	if err != nil {
		return err
	}
	results, err := d.c.Records.Fetch(ctx, req)
	if err != nil {
		return err
	}
	return writeResults(w, results)
}

func (d *Door) delete(ctx context.Context, w http.ResponseWriter, c call) error {
	req, err := records.DecodeIDs(c.params)
	if err != nil {
		return err
	}
	results, err := d.c.Records.Delete(ctx, req)
	if err != nil {
		return err
	}
	return writeResults(w, results)
}

func (d *Door) query(ctx context.Context, w http.ResponseWriter, c call) error {
	q, err := records.DecodeQuery(c.params)
	if err != nil {
		return err
	}
	page, err := d.c.Records.Query(ctx, q)
	if err != nil {
		return err
	}
	b := make([]byte, 0, 64+256*len(page.Records))
	b = append(b, '{')
	if page.Count != nil {
		b = append(b, `"info":{"count":`...)
		b = strconv.AppendInt(b, int64(*page.Count), 10)
		b = append(b, "},"...)
	}
	b = append(b, `"result":`...)
	b = records.AppendPage(b, page)
	web.WriteRaw(w, http.StatusOK, append(b, "}\n"...))
	return nil
}

func writeResults(w http.ResponseWriter, results []records.Result) error {
	b := make([]byte, 0, 32+256*len(results))
	b = append(b, `{"result":[`...)
	for i, r := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = records.AppendResult(b, r, nameAndCode)
	}
	web.WriteRaw(w, http.StatusOK, append(b, "]}\n"...))
	return nil
}

func nameAndCode(err *fault.Error) (string, int) {
	e := web.Wire(err)
	return e.Name, e.Code
}
