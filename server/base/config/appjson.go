package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// schemaName is what an app may be called: its name goes into the name of a schema, and clients of
// Skygear disagree about capitals (skygear.md T24).
var schemaName = regexp.MustCompile(`^[a-z0-9_]{1,50}$`)

const nameRule = `1 to 50 lower-case letters, digits and "_"`

var currencyName = regexp.MustCompile(`^[a-z]{3}$`)

// appKeys are all keys of app.json. Each setter returns what is wrong with the value, "" for nothing.
var appKeys = map[string]func(c *Config, v json.RawMessage) string{
	"name": func(c *Config, v json.RawMessage) string {
		return text(v, &c.Name, func(s string) bool { return schemaName.MatchString(s) }, nameRule)
	},
	"shop.name": func(c *Config, v json.RawMessage) string {
		return text(v, &c.Shop.Name, func(s string) bool { return strings.TrimSpace(s) != "" && len(s) <= 100 }, "a text of 1 to 100 bytes")
	},
	"shop.currency": func(c *Config, v json.RawMessage) string {
		return text(v, &c.Shop.Currency, func(s string) bool { return currencyName.MatchString(s) }, `a currency's three letters in lower case, such as "usd"`)
	},
	"shop.contact": func(c *Config, v json.RawMessage) string {
		return text(v, &c.Shop.Contact, func(s string) bool { return len(s) <= 200 }, "an e-mail address, a telephone number or a web address of at most 200 bytes")
	},
	"functions.timeout_seconds": func(c *Config, v json.RawMessage) string {
		n := int64(c.FunctionTimeout / time.Second)
		wrong := whole(v, &n, 1, 3600)
		c.FunctionTimeout = time.Duration(n) * time.Second
		return wrong
	},
	"functions.folder": func(c *Config, v json.RawMessage) string {
		return text(v, &c.FunctionsDir, filepath.IsLocal, "a folder below app.json's, without ..")
	},
	"functions.workers": func(c *Config, v json.RawMessage) string { return whole(v, &c.Workers.Count, 1, 64) },
	"functions.memory_megabytes": func(c *Config, v json.RawMessage) string {
		n := c.Workers.MemoryBytes >> 20
		wrong := whole(v, &n, 64, 1<<20)
		c.Workers.MemoryBytes = n << 20
		return wrong
	},
	"functions.processes": func(c *Config, v json.RawMessage) string { return whole(v, &c.Workers.Processes, 10, 1<<16) },
	"limits.body_bytes":   func(c *Config, v json.RawMessage) string { return whole(v, &c.BodyLimit, 1<<10, 1<<30) },
	"payments.token_path": func(c *Config, v json.RawMessage) string { return truth(v, &c.Payments.TokenPath) },
	"payments.live":       func(c *Config, v json.RawMessage) string { return truth(v, &c.Payments.Live) },
	"payments.limits.declines_per_address": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Payments.Limits.DeclinesPerAddress, 1, maxDeclines)
	},
	"payments.limits.declines_per_email": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Payments.Limits.DeclinesPerEmail, 1, maxDeclines)
	},
	"payments.limits.attempts_per_order": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Payments.Limits.AttemptsPerOrder, 1, 100)
	},
	"payments.limits.rate_window_seconds": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Payments.Limits.RateWindowSeconds, 10, 24*60*60)
	},
	"payments.limits.rate_at_least": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Payments.Limits.RateAtLeast, 1, 1_000_000)
	},
	"payments.limits.rate_percent": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Payments.Limits.RatePercent, 1, 100)
	},
	"pubsub.message_bytes":       func(c *Config, v json.RawMessage) string { return whole(v, &c.Pubsub.MessageBytes, 1<<10, 4<<20) },
	"pubsub.sockets":             func(c *Config, v json.RawMessage) string { return whole(v, &c.Pubsub.Sockets, 1, 1_000_000) },
	"pubsub.sockets_per_address": func(c *Config, v json.RawMessage) string { return whole(v, &c.Pubsub.SocketsPerAddress, 1, 1_000_000) },
	"log_in.limits.failures_per_account": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Users.Limits.FailuresPerAccount, 1, maxFailures)
	},
	"log_in.limits.failures_per_address": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Users.Limits.FailuresPerAddress, 1, maxFailures)
	},
	"log_in.limits.window_seconds": func(c *Config, v json.RawMessage) string {
		return whole(v, &c.Users.Limits.WindowSeconds, 1, 24*60*60)
	},
	"static.folder": func(c *Config, v json.RawMessage) string {
		return text(v, &c.StaticDir, filepath.IsLocal, "a folder below app.json's, without ..")
	},
}

func text(v json.RawMessage, to *string, good func(string) bool, rule string) string {
	var s string
	if json.Unmarshal(v, &s) != nil || !good(s) {
		return "must be " + rule
	}
	*to = s
	return ""
}

// maxDeclines is how far the payments room counts.
const maxDeclines = 1000

func truth(v json.RawMessage, to *bool) string {
	var b *bool
	if json.Unmarshal(v, &b) != nil || b == nil {
		return "must be true or false"
	}
	*to = *b
	return ""
}

func whole(v json.RawMessage, to *int64, low, high int64) string {
	var n int64
	if bytes.Equal(v, []byte("null")) || json.Unmarshal(v, &n) != nil || n < low || n > high {
		return fmt.Sprintf("must be a whole number from %d to %d", low, high)
	}
	*to = n
	return ""
}

// readAppJSON applies every key. Empty text counts as {}.
func (c *Config) readAppJSON(p *problems, doc []byte) {
	doc = bytes.TrimPrefix(doc, []byte("\ufeff"))
	if len(bytes.TrimSpace(doc)) == 0 {
		return
	}
	r := &appReader{c: c, p: p, doc: doc, dec: json.NewDecoder(bytes.NewReader(doc)), seen: map[string]bool{}}
	err := r.object("")
	if err == nil {
		if _, more := r.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is text after the closing }")
		}
	}
	if err != nil {
		p.add("app.json line %d: %s", r.line(err), describe(err))
	}
}

// appReader walks the document with the line in view, which encoding/json's own decoding into a struct
// does not keep.
type appReader struct {
	c    *Config
	p    *problems
	doc  []byte
	dec  *json.Decoder
	seen map[string]bool
}

// object reads one object, whose keys continue prefix.
func (r *appReader) object(prefix string) error {
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%s must be an object in { }", cmp.Or(strings.TrimSuffix(prefix, "."), "the document"))
	}
	for r.dec.More() {
		key, err := r.dec.Token()
		if err != nil {
			return err
		}
		if err := r.member(prefix + fmt.Sprint(key)); err != nil {
			return err
		}
	}
	_, err = r.dec.Token() // the closing brace
	return err
}

func (r *appReader) member(path string) error {
	line := r.line(nil)
	if r.seen[path] {
		r.p.add("app.json line %d: %s is given twice", line, path)
	}
	r.seen[path] = true
	set, ok := appKeys[path]
	if !ok && isSection(path) {
		return r.object(path + ".")
	}
	var v json.RawMessage
	if err := r.dec.Decode(&v); err != nil {
		return err
	}
	if !ok {
		r.unknown(line, path)
	} else if wrong := set(r.c, v); wrong != "" {
		r.p.add("app.json line %d: %s %s", line, path, wrong)
	}
	return nil
}

func (r *appReader) unknown(line int, path string) {
	known := names()
	if hint := nearest(path, known); hint != "" {
		r.p.add("app.json line %d: there is no key %q; did you mean %q?", line, path, hint)
		return
	}
	r.p.add("app.json line %d: there is no key %q; the keys are %s", line, path, strings.Join(known, ", "))
}

// names are the keys and the sections that they stand in.
func names() []string {
	var all []string
	for k := range appKeys {
		all = append(all, k)
		for i := strings.LastIndex(k, "."); i > 0; i = strings.LastIndex(k[:i], ".") {
			all = append(all, k[:i])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func isSection(path string) bool {
	for k := range appKeys {
		if strings.HasPrefix(k, path+".") {
			return true
		}
	}
	return false
}

// line is where the reader stands, or where err happened.
func (r *appReader) line(err error) int {
	at := r.dec.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > 0 {
		at = syntax.Offset
	}
	return 1 + bytes.Count(r.doc[:min(int(at), len(r.doc))], []byte("\n"))
}

func describe(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the document ends too early; a } or a quote is missing"
	}
	return err.Error()
}
