package lambda

import (
	"context"
	"encoding/json"
)

// On declares a listener of an event. What it returns does not matter to anybody; an error is logged. Its Call has no actor.
//
// Events of a server's life, each with {"config": {...}}, for every server and every version that becomes live:
// before-config, after-config, before-plugins-ready (nobody's requests are answered yet, or an earlier version
// answers them), after-plugins-ready and server-ready. And schema-changed, with {"type": {"fields": [{"name", "type"}]}} for all
// record types, on the server that has changed one. Wire: skygear §4.3.
func On(event, name string, fn func(ctx context.Context, c *Call, data json.RawMessage) error, opts ...Option) Function {
	f := Raw(name, func(ctx context.Context, c *Call, data json.RawMessage) (json.RawMessage, error) {
		return nil, fn(ctx, c, data)
	}, opts...)
	f.Event = event
	return f
}
