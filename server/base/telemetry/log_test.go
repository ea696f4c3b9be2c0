package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/telemetry"
)

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

type valuer struct{ s string }

func (v valuer) LogValue() slog.Value { return slog.GroupValue(slog.String("inner", v.s)) }

type nilError struct{ s string }

func (e *nilError) Error() string { return e.s }

func TestLogger_HidesSecretsWhereverTheyStand(t *testing.T) {
	t.Parallel()
	const secret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
	places := map[string]func(l *slog.Logger){
		"message": func(l *slog.Logger) { l.Error("cannot use " + secret) },
		"string":  func(l *slog.Logger) { l.Error("x", "a", secret) },
		"error":   func(l *slog.Logger) { l.Error("x", "a", fmt.Errorf("wrapped: %w", errors.New(secret))) },
		"stringer": func(l *slog.Logger) {
			l.Error("x", "a", stringer{secret})
		},
		"group":      func(l *slog.Logger) { l.Error("x", slog.Group("g", slog.Group("h", "a", secret))) },
		"logvaluer":  func(l *slog.Logger) { l.Error("x", "a", valuer{secret}) },
		"struct":     func(l *slog.Logger) { l.Error("x", "a", struct{ F []string }{[]string{secret}}) },
		"bytes":      func(l *slog.Logger) { l.Error("x", "a", []byte(secret)) },
		"map":        func(l *slog.Logger) { l.Error("x", "a", map[string]any{"k": map[string]string{"v": secret}}) },
		"with":       func(l *slog.Logger) { l.With("a", secret).WithGroup("g").Error("x", "b", secret) },
		"key name":   func(l *slog.Logger) { l.Error("x", "Master-Key", "plain "+secret[8:]) },
		"json value": func(l *slog.Logger) { l.Error(`body {"api_key": "` + secret[8:] + `"}`) },
		"unmarshal": func(l *slog.Logger) {
			l.Error("x", "a", struct {
				C chan int
				S string
			}{nil, secret})
		},
	}
	for name, say := range places {
		for _, format := range []string{"text", "json", "terminal"} {
			t.Run(name+"/"+format, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				say(telemetry.NewLogger(&out, slog.LevelInfo, format))
				if strings.Contains(out.String(), secret[8:]) || !strings.Contains(out.String(), "[redacted]") {
					t.Errorf("logged %s", out.String())
				}
			})
		}
	}
}

func TestLogger_AddsRequestIDAndSurvivesNilErrors(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := telemetry.NewLogger(&out, slog.LevelInfo, "json")
	var broken *nilError
	l.WarnContext(telemetry.WithRequestID(context.Background(), "r-1"), "hello", "error", error(broken), "card", 4242424242424242)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["request_id"] != "r-1" || line["card"] != "[redacted]" || !strings.Contains(line["error"].(string), "unprintable") {
		t.Errorf("logged %v", line)
	}
}

// counter counts the lines that reach it.
type counter struct{ n *atomic.Int32 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int32(bytes.Count(p, []byte("\n"))))
	return len(p), nil
}

func TestLogger_GathersLinesAndWritesWarningsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		l := telemetry.NewLogger(counter{&n}, slog.LevelInfo, "text")
		lines := n.Load
		l.Info("first after a pause")
		if lines() != 1 {
			t.Fatal("the first line waits")
		}
		l.Info("second")
		if lines() != 1 {
			t.Fatal("the second line does not wait")
		}
		time.Sleep(11 * time.Millisecond) // the bubble's clock
		synctest.Wait()
		if lines() != 2 {
			t.Fatal("a line waits for ever")
		}
		l.Info("third")
		l.Warn("fourth")
		if lines() != 4 {
			t.Fatal("a warning waits")
		}
		l.Info("fifth")
		telemetry.Flush(l)
		if lines() != 5 {
			t.Fatal("Flush leaves a line")
		}
	})
}

func TestRedact(t *testing.T) {
	t.Parallel()
	cases := []struct{ in, want string }{
		{"nothing here", "nothing here"},
		{"key sk_test_abc123 and rk_live_x_y.", "key [redacted] and [redacted]."},
		{"pk_test_1", "[redacted]"},
		{"whsec_abc", "[redacted]"},
		{"pi_3Nabc_secret_XyZ more", "[redacted] more"},
		{"tok_1NabcDEF but tok_visa stays", "[redacted] but tok_visa stays"},
		{"4242424242424242", "[redacted]"},
		{"card 4242 4242 4242 4242, thanks", "card [redacted], thanks"},
		{"4000-0000-0000-0002 and 378282246310005", "[redacted] and [redacted]"},
		{"on 2024-01-01 4242 4242 4242 4242", "on 2024-01-01 [redacted]"},
		{"4242424242424241 fails Luhn", "4242424242424241 fails Luhn"},
		{"at 1700000000000", "at 1700000000000"},
		{"00000000000000", "00000000000000"},
		{"postgres://joe:hunter2@db:5432/x?sslmode=disable", "postgres://joe:[redacted]@db:5432/x?sslmode=disable"},
		{"postgresql://joe:p@ss/w:rd@db/x", "postgresql://joe:[redacted]@db/x"},
		{"postgres://:pw@db/x", "postgres://:[redacted]@db/x"},
		{"https://u:p@host/", "https://u:[redacted]@host/"},
		{"http://localhost:3000/a@b", "http://localhost:3000/a@b"},
		{"Authorization: Bearer abc.def", "Authorization: [redacted]"},
		{"Stripe-Signature: t=1,v1=ab", "Stripe-Signature: [redacted]"},
		{"X-Skygear-Api-Key: k1", "X-Skygear-Api-Key: [redacted]"},
		{"host=/run user=joe password=hunter2 dbname=x", "host=/run user=joe password=[redacted] dbname=x"},
		{"password='a b' x", "password=[redacted] x"},
		{`{"master_key":"a\"b","n":1}`, `{"master_key":[redacted],"n":1}`},
		{`{\"password\":\"a b\",\"n\":1}`, `{\"password\":[redacted],\"n\":1}`},
		{"map[Cookie:[a=b; c=d] X:[y]]", "map[Cookie:[redacted]"},
		{"?api_key=abc&x=1", "?api_key=[redacted]&x=1"},
	}
	for _, c := range cases {
		if got := telemetry.Redact(c.in); got != c.want {
			t.Errorf("Redact(%q)\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestRedact_LeavesPlainStringsAlone(t *testing.T) {
	n := testing.AllocsPerRun(100, func() {
		telemetry.Redact("/lambda/process_payment")
		telemetry.Redact("0199f0aa-1f6e-7c1e-8e60-3c5f6b7a8d90")
		telemetry.Redact("127.0.0.1")
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("a ", " b")
	f.Add("4242 ", "-1")
	f.Add(`{"x":"`, `"}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		const key = "sk_live_abcdefghijklmnop"
		if out := telemetry.Redact(before + key + after); strings.Contains(out, key) {
			t.Errorf("%q", out)
		}
		once := telemetry.Redact(before + after)
		if len(once) > 0 && len(once) > 11*(len(before)+len(after))+11 {
			t.Errorf("grew: %q", once)
		}
	})
}

// other is a logger's handler that LogAccess does not know.
type other struct{ slog.Handler }

func TestLogAccess_SaysWhatTheLoggerWouldSay(t *testing.T) {
	t.Parallel()
	ctx := telemetry.WithRequestID(context.Background(), "r-12345678")
	for _, format := range []string{"text", "json"} {
		for _, path := range []string{"/", "/a b=\"c\"\n\x00\xff", "/x/sk_test_abcdef", ""} {
			var fast, slow bytes.Buffer
			a := telemetry.Access{Method: "GET", Path: path, IP: "::1", Status: 200, Bytes: 5, Took: 1234 * time.Microsecond}
			telemetry.LogAccess(ctx, telemetry.NewLogger(&fast, slog.LevelInfo, format), a)
			l := telemetry.NewLogger(&slow, slog.LevelInfo, format)
			telemetry.LogAccess(ctx, slog.New(other{l.Handler()}), a)
			clock := regexp.MustCompile(`time"?[=:]"?[0-9T:.Z+-]+"?`)
			if diff := cmp.Diff(clock.ReplaceAllString(slow.String(), ""), clock.ReplaceAllString(fast.String(), "")); diff != "" || fast.Len() == 0 {
				t.Errorf("%s %q: %s", format, path, diff)
			}
			a.Quiet = true
			telemetry.LogAccess(ctx, telemetry.NewLogger(&fast, slog.LevelInfo, format), a)
			if bytes.Count(fast.Bytes(), []byte("\n")) != 1 {
				t.Errorf("a quiet line is logged")
			}
		}
	}
}

// The minute of a line is written once and used again: every other part, and the next minute or zone, must still be right.
func TestLogAccess_TellsTheTime(t *testing.T) {
	t.Parallel()
	const millis = "2006-01-02T15:04:05.000Z07:00"
	var out bytes.Buffer
	l := telemetry.NewLogger(&out, slog.LevelInfo, "text")
	start := time.Date(2026, 12, 31, 23, 59, 58, 999_999_999, time.UTC)
	for _, at := range []time.Time{
		start, start.Add(time.Millisecond), start.Add(time.Second), start.Add(time.Minute), start.Add(-time.Hour),
		start.In(time.FixedZone("", 5*3600+1800)), start.In(time.FixedZone("", -3600)), start,
	} {
		out.Reset()
		telemetry.LogAccess(t.Context(), l, telemetry.Access{At: at, Method: "GET", Path: "/", Status: 200})
		telemetry.Flush(l)
		if got, _, _ := strings.Cut(strings.TrimPrefix(out.String(), "time="), " "); got != at.Format(millis) {
			t.Errorf("%q, want %s", got, at.Format(millis))
		}
	}
}

func BenchmarkLogAccess(b *testing.B) {
	l := telemetry.NewLogger(io.Discard, slog.LevelInfo, "text")
	ctx := telemetry.WithRequestID(context.Background(), "0199f0aa-1f6e-7c1e-8e60-3c5f6b7a8d90")
	b.ReportAllocs()
	for b.Loop() {
		telemetry.LogAccess(ctx, l, telemetry.Access{
			Method: "POST", Path: "/lambda/process_payment", IP: "127.0.0.1", Status: 200, Bytes: 312, Took: 1234567,
		})
	}
}

func TestLogger_ForATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := telemetry.NewLogger(&out, slog.LevelInfo, "terminal")
	ctx := telemetry.WithRequestID(t.Context(), "r1")
	l.DebugContext(ctx, "unseen")
	telemetry.LogAccess(ctx, l, telemetry.Access{Method: "GET", Path: "/a", Status: 200, Took: time.Millisecond, IP: "127.0.0.1"})
	l.With("language", "python", "worker", 3).InfoContext(ctx, "function: \x1b]0;title\a\x1b[2Jhello\tyou", "call", 7, "stream", "stdout")
	l.WithGroup("a").With("b", 1).ErrorContext(ctx, "it failed", "error", "two words", slog.Group("c", "version", 2), "lines", "one\ntwo")
	telemetry.Flush(l)
	got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `).ReplaceAllString(out.String(), "T ")
	want := "T request method=GET path=/a status=200 took=1ms\n" +
		"T function: \uFFFD]0;title\uFFFD\uFFFD[2Jhello\tyou\n" +
		"T ERROR it failed a.b=1 a.error=\"two words\" a.c.version=2 a.lines=\n    one\n    two\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
