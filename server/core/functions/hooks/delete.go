package hooks

import (
	"context"
	"slices"

	"crema/server/base/fault"
	"crema/server/core/records"
	"crema/server/lambda"
)

// Delete implements records.Hooks.
func (s *Service) Delete(ctx context.Context, req records.IDsRequest, remove func(context.Context, records.IDsRequest) ([]records.Result, error)) ([]records.Result, error) {
	var ids []string
	for _, id := range req.IDs {
		if kind, _, ok := records.SplitID(id); ok && len(s.of(kind, lambda.OnBeforeDelete, lambda.OnAfterDelete)) > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return remove(ctx, req)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	stored, err := s.stored(ctx, req.Database, ids)
	if err != nil {
		return nil, err
	}
	refused := map[string]*fault.Error{}
	for _, id := range ids {
		if r := stored[id]; r != nil && mayWrite(ctx, r) {
			if _, err := s.through(ctx, s.of(r.Type, lambda.OnBeforeDelete), subject{record: r}); err != nil {
				refused[id] = err
			}
		}
	}
	if err := atomically(refused); req.Atomic && err != nil {
		return nil, err
	}
	results, err := s.removeOthers(ctx, req, refused, remove)
	if err != nil {
		return nil, err
	}
	s.gone(ctx, req.Atomic, results, stored)
	return results, nil
}

// removeOthers deletes what no hook refused and gives the results in the order of the request.
func (s *Service) removeOthers(ctx context.Context, req records.IDsRequest, refused map[string]*fault.Error, remove func(context.Context, records.IDsRequest) ([]records.Result, error)) ([]records.Result, error) {
	others := req
	others.IDs = slices.DeleteFunc(slices.Clone(req.IDs), func(id string) bool { return refused[id] != nil })
	var done []records.Result
	if len(others.IDs) > 0 {
		var err error
		if done, err = remove(ctx, others); err != nil {
			return nil, err
		}
	}
	results := make([]records.Result, 0, len(req.IDs))
	for _, id := range req.IDs {
		if err := refused[id]; err != nil {
			results = append(results, records.Result{ID: id, Err: err})
			continue
		}
		results, done = append(results, done[0]), done[1:]
	}
	return results, nil
}

// gone runs the hooks after the delete.
func (s *Service) gone(ctx context.Context, atomic bool, results []records.Result, stored map[string]*records.Record) {
	for i, r := range results {
		record := stored[r.ID]
		if r.Err != nil || record == nil {
			continue
		}
		_, err := s.through(ctx, s.of(record.Type, lambda.OnAfterDelete), subject{record: record})
		s.show(ctx, &results[i], err, atomic)
	}
}
