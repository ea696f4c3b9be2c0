package clients_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

// call is one request that both servers get. "{name}" in path and form stands for the id of the
// object that the call of this name made.
type call struct {
	name, method, path, form string
	headers                  []string
	until                    string // a field that must be true before the answer counts
}

// Everything that a caller decides by must be equal in both, except what known() lists.
func TestSandbox_AnswersAsTheStatefulMock(t *testing.T) {
	t.Parallel()
	needPackages(t, "stripe-stateful-mock")
	ours := sandboxtest.Start(t, testkit.DB(t), nil)
	theirs := &sandboxtest.Server{URL: startStatefulMock(t)}
	ourIDs, theirIDs := &made{}, &made{}
	listed := map[string]difference{}
	for _, d := range known() {
		if _, twice := listed[d.call]; twice || d.reason == "" {
			t.Errorf("the known difference of %q needs a reason and a line of its own", d.call)
		}
		listed[d.call] = d
	}
	for _, c := range calls() {
		d, want := compare(c.name, c.send(t, ours, ourIDs), c.send(t, theirs, theirIDs)), listed[c.name]
		delete(listed, c.name)
		if d.ours != want.ours || d.theirs != want.theirs {
			t.Errorf("%s\n  here:  %s\n  there: %s\n  the list has\n  here:  %s\n  there: %s", c.name, d.ours, d.theirs, want.ours, want.theirs)
		}
	}
	for name := range listed {
		t.Errorf("the list of known differences has %q, which nothing calls", name)
	}
}

// difference is what the answers to one call have of their own, "field=value" by name, and why.
type difference struct{ call, ours, theirs, reason string }

func compare(call string, ours, theirs map[string]string) difference {
	return difference{call: call, ours: only(ours, theirs), theirs: only(theirs, ours)}
}

func only(a, b map[string]string) string {
	var own []string
	for field, v := range a {
		if v != b[field] {
			own = append(own, field+"="+v)
		}
	}
	slices.Sort(own)
	return strings.Join(own, " ")
}

// made says which call made an object.
type made []object

type object struct{ call, id string }

// fill puts ids in the places of the names of calls.
func (m *made) fill(s string) string {
	for _, o := range *m {
		s = strings.ReplaceAll(s, "{"+o.call+"}", o.id)
	}
	return s
}

// by returns the call that first told the id.
func (m *made) by(id string) string {
	for _, o := range *m {
		if o.id == id {
			return o.call
		}
	}
	return ""
}

// send returns what is compared of the answer. "of" is the call that made the object, so that a replay
// which makes another one is seen.
func (c call) send(t *testing.T, s *sandboxtest.Server, ids *made) map[string]string {
	t.Helper()
	a := s.Do(t, c.method, ids.fill(c.path), ids.fill(c.form), c.headers...)
	for deadline := time.Now().Add(10 * time.Second); c.until != "" && a.At(c.until) != true && time.Now().Before(deadline); {
		a = s.Do(t, c.method, ids.fill(c.path), ids.fill(c.form), c.headers...)
	}
	seen := map[string]string{"http": fmt.Sprint(a.Status), "replayed": cmp.Or(a.Header.Get("Idempotent-Replayed"), "false")}
	for _, field := range []string{"type", "code", "decline_code", "param"} {
		if v := a.Text("error." + field); v != "" {
			seen[field] = v
		}
	}
	for _, field := range []string{"object", "amount", "amount_refunded", "captured", "status", "failure_code"} {
		if v := a.At(field); v != nil {
			seen[field] = fmt.Sprint(v)
		}
	}
	if list, ok := a.At("data").([]any); ok {
		seen["count"] = fmt.Sprint(len(list))
	}
	if id := cmp.Or(a.Text("error.charge"), a.Text("id")); id != "" {
		*ids = append(*ids, object{c.name, id})
		seen["of"] = ids.by(id)
	}
	return seen
}

// startStatefulMock starts it on a port of its own until the test ends, and returns its address.
func startStatefulMock(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	cmd := exec.CommandContext(ctx, "node", "stateful-mock.mjs")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if _, err := cmd.StdinPipe(); err != nil { // open as long as this process lives
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		_ = cmd.Wait()
		t.Fatalf("stripe-stateful-mock does not start: %v\n%s", err, complaint.String())
	}
	return strings.TrimSpace(line)
}
