package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"
)

// Access is one answered request. Path comes without its query, which may carry keys.
type Access struct {
	At               time.Time // when it was answered; zero: now
	Method, Path, IP string
	Status           int
	Bytes            int64
	Took             time.Duration
	Quiet            bool // level Debug, for what machines ask every few seconds
}

// LogAccess writes the line "request". It says what l would say, in a third of the time: there is one
// such line for every request.
func LogAccess(ctx context.Context, l *slog.Logger, a Access) {
	level := slog.LevelInfo
	if a.Quiet {
		level = slog.LevelDebug
	}
	if !l.Enabled(ctx, level) {
		return
	}
	if h, ok := l.Handler().(handler); ok && h.root {
		id := RequestID(ctx)
		h.sink.add(func(b []byte) []byte { return a.appendTo(b, h.json, level, id, &h.sink.clock) })
		return
	}
	l.LogAttrs(ctx, level, "request", slog.String("method", a.Method), slog.String("path", a.Path), slog.Int("status", a.Status),
		slog.Int64("bytes", a.Bytes), slog.Duration("took", a.Took), slog.String("ip", a.IP))
}

func (a Access) appendTo(b []byte, asJSON bool, level slog.Level, id string, c *clock) []byte {
	l := line{b: b, start: len(b), json: asJSON}
	if a.At.IsZero() {
		a.At = time.Now()
	}
	l.time("time", a.At, c)
	l.text("level", level.String())
	l.text("msg", "request")
	l.text("method", Redact(a.Method))
	l.text("path", Redact(a.Path))
	l.number("status", int64(a.Status))
	l.number("bytes", a.Bytes)
	if asJSON {
		l.number("took", int64(a.Took))
	} else {
		l.text("took", a.Took.String())
	}
	l.text("ip", a.IP)
	if id != "" {
		l.text("request_id", id)
	}
	if asJSON {
		l.b = append(l.b, '}')
	}
	return append(l.b, '\n')
}

// line writes attributes as slog's two handlers do.
type line struct {
	b     []byte
	start int
	json  bool
}

func (l *line) key(key string) {
	switch {
	case !l.json && len(l.b) > l.start:
		l.b = append(l.b, ' ')
	case l.json && len(l.b) == l.start:
		l.b = append(l.b, '{')
	case l.json:
		l.b = append(l.b, ',')
	}
	if !l.json {
		l.b = append(append(l.b, key...), '=')
		return
	}
	l.b = append(l.b, '"')
	l.b = append(append(l.b, key...), '"', ':')
}

func (l *line) number(key string, n int64) {
	l.key(key)
	l.b = strconv.AppendInt(l.b, n, 10)
}

func (l *line) time(key string, t time.Time, c *clock) {
	l.key(key)
	if l.json {
		l.b = append(t.AppendFormat(append(l.b, '"'), time.RFC3339Nano), '"')
		return
	}
	l.b = c.append(l.b, t)
}

// clock remembers how the last minute is written: a busy server writes many lines in one.
type clock struct {
	minute int64 // since 1970
	zone   *time.Location
	text   []byte // "2006-01-02T15:04:" and, behind seconds, the zone
}

const untilMinute = "2006-01-02T15:04:"

// append writes t with its milliseconds, as slog's text handler does.
func (c *clock) append(b []byte, t time.Time) []byte {
	minute, second, ms := t.Unix()/60, t.Unix()%60, t.Nanosecond()/1e6
	if minute != c.minute || t.Location() != c.zone {
		c.minute, c.zone = minute, t.Location()
		c.text = t.AppendFormat(c.text[:0], untilMinute+"Z07:00")
	}
	n := len(untilMinute)
	b = append(b, c.text[:n]...)
	b = append(b, byte('0'+second/10), byte('0'+second%10), '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	return append(b, c.text[n:]...)
}

func (l *line) text(key, s string) {
	l.key(key)
	switch {
	case !simple(s) && l.json:
		quoted, _ := json.Marshal(s) // a string always marshals
		l.b = append(l.b, quoted...)
	case !simple(s):
		l.b = strconv.AppendQuote(l.b, s)
	case l.json:
		l.b = append(append(append(l.b, '"'), s...), '"')
	default:
		l.b = append(l.b, s...)
	}
}

// simple says whether s needs neither quotes nor escapes in either format.
func simple(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=' {
			return false
		}
	}
	return s != ""
}
