package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"crema/server/base/cluster"
)

// forbidden is what may stand in no log, no table and no answer of the shop.
var forbidden = map[string]*regexp.Regexp{
	"a secret key":       regexp.MustCompile(`\b(sk|rk)_(test|live)_\w{8,}|` + masterKey),
	"a webhook secret":   regexp.MustCompile(`\bwhsec_\w{8,}`),
	"a card token":       regexp.MustCompile(`\btok_(1[A-Za-z0-9]{10,}|visa|mastercard|amex|discover|chargeDeclined|sandbox_)`),
	"a card number":      regexp.MustCompile(`\b(4242424242424242|5555555555554444|4000000000003220|4000000000000002)\b`),
	"a client secret":    regexp.MustCompile(`\w_secret_\w{8,}`),
	"an HTTP credential": regexp.MustCompile(`(?i)authorization"?: |stripe-signature"?: `),
}

// patterns remembers what was found where. Answers are looked at as they come, so that none is kept.
type patterns struct {
	mu    sync.Mutex
	found map[string]string
}

func (p *patterns) look(where string, text []byte) {
	for what, form := range forbidden {
		at := form.FindIndex(text)
		if at == nil {
			continue
		}
		p.mu.Lock()
		if p.found == nil {
			p.found = map[string]string{}
		}
		p.found[what+" in "+where] = string(text[max(0, at[0]-80):min(len(text), at[0]+12)])
		p.mu.Unlock()
	}
}

// secrets looks through the logs, a dump of the shop's database and all answers (I8).
func (w *world) secrets(ctx context.Context) []string {
	for _, log := range []string{"server.log", "operator.log"} {
		text, _ := os.ReadFile(filepath.Join(w.dir, log))
		w.replies.look(log, text)
	}
	dump, err := exec.CommandContext(ctx, filepath.Join(filepath.Dir(w.database.Binaries().Path("postgres")), "pg_dump"),
		"--data-only", "--dbname="+w.database.URL(cluster.Database)).Output()
	if err != nil {
		return []string{"I8 cannot be checked: pg_dump: " + err.Error()}
	}
	w.replies.look("the database", dump)
	var all []string
	for where, text := range w.replies.found {
		all = append(all, fmt.Sprintf("VIOLATED I8: %s: ...%s...", where, strings.ReplaceAll(text, "\n", " ")))
	}
	return all
}
