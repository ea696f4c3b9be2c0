package telemetry_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"crema/server/base/telemetry"
)

func TestHider_HidesWhereverTheyStand(t *testing.T) {
	t.Parallel()
	const key = "-----BEGIN KEY-----\nMIIEvQ+first/line=\nMIIEvQ+second/line=\n-----END KEY-----\n"
	hide := telemetry.NewHider("open sesame", "open sesame street", "", "four", key)
	var out bytes.Buffer
	l := hide.Logger(telemetry.NewLogger(&out, slog.LevelInfo, "text"))
	l.With("with", "open sesame").WithGroup("g").Error("say open sesame street", "text", "open sesame!", "error", errors.New("no open sesame"),
		slog.Group("h", "line", "MIIEvQ+second/line="), "list", []string{"open sesame"}, "n", 4, "word", "fourteen")
	got := out.String()
	for _, secret := range []string{"sesame", "street", "second/line"} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is in %s", secret, got)
		}
	}
	for _, kept := range []string{"say ", "n=4", "fourteen", "no [redacted]"} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q is not in %s", kept, got)
		}
	}
	if got := (telemetry.Hider{}).Text("open sesame"); got != "open sesame" {
		t.Error(got)
	}
}
