package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strings"
)

// leastHidden is how long a value is at least that Hider hides, in bytes: shorter ones stand in ordinary words.
const leastHidden = 6

// Hider replaces values that are known to be secret, wherever they stand. Those shorter than 6 bytes it cannot tell from
// other text. The zero value hides nothing.
type Hider struct{ replacer *strings.Replacer }

// NewHider returns a Hider of values. Of one with several lines, such as a private key, it hides each.
func NewHider(values ...string) Hider {
	var all []string
	for _, v := range values {
		all = append(all, v)
		for line := range strings.Lines(v) {
			all = append(all, strings.TrimSpace(line))
		}
	}
	all = slices.DeleteFunc(all, func(v string) bool { return len(v) < leastHidden })
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // one may begin with another
	var pairs []string
	for _, v := range slices.Compact(all) {
		pairs = append(pairs, v, mask)
	}
	return Hider{strings.NewReplacer(pairs...)}
}

// Text returns s without the values.
func (h Hider) Text(s string) string {
	if h.replacer == nil {
		return s
	}
	return h.replacer.Replace(s)
}

// Logger returns l without the values in messages and attributes.
func (h Hider) Logger(l *slog.Logger) *slog.Logger { return slog.New(hiding{l.Handler(), h}) }

// hiding is a handler that hides.
type hiding struct {
	slog.Handler
	hider Hider
}

// Handle implements slog.Handler.
func (h hiding) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, h.hider.Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (h hiding) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.attr(a)
	}
	return hiding{h.Handler.WithAttrs(clean), h.hider}
}

// WithGroup implements slog.Handler.
func (h hiding) WithGroup(name string) slog.Handler {
	return hiding{h.Handler.WithGroup(name), h.hider}
}

func (h hiding) attr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(h.hider.Text(v.String()))
	case slog.KindGroup:
		var clean []slog.Attr
		for _, one := range v.Group() {
			clean = append(clean, h.attr(one))
		}
		a.Value = slog.GroupValue(clean...)
	case slog.KindAny:
		if whole := text(v.Any()); h.hider.Text(whole) != whole {
			a.Value = slog.StringValue(h.hider.Text(whole))
		}
	}
	return a
}
