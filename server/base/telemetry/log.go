package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger whose every message and attribute passes through Redact and that adds
// the request id of its context. Format is "json", "terminal" for somebody who watches, or anything else for text.
//
// A line of level Warn or above is written before the call returns. A line below may wait for at most
// 10 ms, so that a busy server does not pay a system call per request; Flush writes what waits.
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	s := &sink{w: w}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: redactAttr}
	var inner slog.Handler = slog.NewTextHandler(s, opts)
	switch format {
	case "json":
		inner = slog.NewJSONHandler(s, opts)
	case "terminal":
		inner = terminal{w: s, level: level}
	}
	return slog.New(handler{inner: inner, sink: s, root: format != "terminal", json: format == "json"})
}

// Flush writes the lines of l that wait. Call it before the process ends.
func Flush(l *slog.Logger) {
	if h, ok := l.Handler().(handler); ok {
		h.sink.Flush()
	}
}

// handler adds the request id and decides which lines must not wait.
type handler struct {
	inner slog.Handler
	sink  *sink
	root  bool // without attributes or groups of its own, in a format that LogAccess knows
	json  bool
}

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.inner.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if id := RequestID(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("request_id", id))
	}
	err := h.inner.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.sink.Flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{inner: h.inner.WithAttrs(attrs), sink: h.sink}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{inner: h.inner.WithGroup(name), sink: h.sink}
}

// redactAttr is called for each leaf, in groups too, after LogValuers are resolved.
func redactAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return a
	}
	if secretKey(a.Key) {
		return slog.String(a.Key, mask)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		s := a.Value.String()
		if clean := Redact(s); clean != s {
			a.Value = slog.StringValue(clean)
		}
	case slog.KindInt64:
		a.Value = withoutCardNumber(a.Value, uint64(max(0, a.Value.Int64())))
	case slog.KindUint64:
		a.Value = withoutCardNumber(a.Value, a.Value.Uint64())
	case slog.KindAny:
		a.Value = slog.StringValue(Redact(text(a.Value.Any())))
	}
	return a
}

// withoutCardNumber returns v, which is n, or the mask when n has the digits of a card.
func withoutCardNumber(v slog.Value, n uint64) slog.Value {
	if n >= 1e12 && Redact(v.String()) != v.String() {
		return slog.StringValue(mask)
	}
	return v
}

// text is how a value of no simple kind is logged: what it says of itself, else as JSON.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case error:
		return safely(v.Error)
	case fmt.Stringer:
		return safely(v.String)
	case []byte:
		return string(v)
	}
	if b, err := json.Marshal(v); err == nil {
		return string(b)
	}
	return fmt.Sprintf("%+v", v)
}

// safely calls f, which belongs to a stranger and may hold a nil pointer.
func safely(f func() string) (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = fmt.Sprint("unprintable value: ", r)
		}
	}()
	return f()
}
