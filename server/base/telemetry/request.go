package telemetry

import "context"

type requestKey struct{}

// RequestContext is a context that carries the id of a request. It may be embedded by value in a
// larger context of the request.
type RequestContext struct {
	context.Context
	ID string
}

// Value implements context.Context.
func (c *RequestContext) Value(key any) any {
	if key == (requestKey{}) {
		return &c.ID
	}
	return c.Context.Value(key)
}

// WithRequestID returns a context that carries the id of a request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return &RequestContext{Context: ctx, ID: id}
}

// RequestID returns the id of the request that ctx belongs to, "" when there is none.
func RequestID(ctx context.Context) string {
	if id, ok := ctx.Value(requestKey{}).(*string); ok {
		return *id
	}
	return ""
}
