package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// terminal writes lines for somebody who watches: the time of day, the message and what tells more about it.
type terminal struct {
	w     io.Writer
	level slog.Level
	attrs []slog.Attr // with their groups' names before theirs
	group string      // of what comes, with a dot at its end
}

// unwatched are keys that say nothing to somebody who sees the lines come.
var unwatched = []string{"request_id", "ip", "bytes", "app", "version", "worker", "call"}

// Enabled implements slog.Handler.
func (t terminal) Enabled(_ context.Context, l slog.Level) bool { return l >= t.level }

// Handle implements slog.Handler.
func (t terminal) Handle(_ context.Context, r slog.Record) error {
	b := r.Time.Local().AppendFormat(nil, "15:04:05 ")
	if r.Level != slog.LevelInfo {
		b = append(append(b, r.Level.String()...), ' ')
	}
	b = append(b, harmless(Redact(r.Message))...)
	printed := false // by a program: the message is all there is to see
	r.Attrs(func(a slog.Attr) bool {
		printed = a.Key == "stream"
		return !printed
	})
	if !printed {
		b = t.appendAttrs(b, r)
	}
	_, err := t.w.Write(append(b, '\n'))
	return err
}

func (t terminal) appendAttrs(b []byte, r slog.Record) []byte {
	for _, a := range t.attrs {
		b = appendAttr(b, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, t.group, a)
		return true
	})
	return b
}

// WithAttrs implements slog.Handler.
func (t terminal) WithAttrs(attrs []slog.Attr) slog.Handler {
	t.attrs = slices.Clone(t.attrs)
	for _, a := range attrs {
		t.attrs = append(t.attrs, slog.Attr{Key: t.group + a.Key, Value: a.Value})
	}
	return t
}

// WithGroup implements slog.Handler.
func (t terminal) WithGroup(name string) slog.Handler {
	t.group += name + "."
	return t
}

func appendAttr(b []byte, group string, a slog.Attr) []byte {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup {
		for _, member := range a.Value.Group() {
			b = appendAttr(b, group+a.Key+".", member)
		}
		return b
	}
	if group == "" && slices.Contains(unwatched, a.Key) || a.Key == "request_id" || a.Key == "" {
		return b
	}
	text := redactAttr([]string{group}, a).Value.String()
	if text == "" || strings.ContainsAny(text, " =\"\n") {
		text = quote(text)
	}
	return append(append(append(append(b, ' '), group...), a.Key...), "="+harmless(text)...)
}

// quote leaves lines as they are: they are read here.
func quote(text string) string {
	if strings.Contains(text, "\n") {
		return "\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
	}
	return strconv.Quote(text)
}

// harmless is text without what a terminal would obey: functions print what they like.
func harmless(text string) string {
	odd := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(text, odd) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if odd(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
