package app

import (
	"testing"

	"crema/server/base/fault"
	"crema/server/core/payments"
)

func TestFailpoint_OnlyInTheSandboxAndOnlyWellFormed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec  string
		mode  payments.Mode
		wrong bool
		set   bool
	}{
		{spec: "", mode: payments.Live},
		{spec: "before-send", mode: payments.Sandbox, set: true},
		{spec: "before-send:3", mode: payments.Sandbox, set: true},
		{spec: "before-send", mode: payments.Test, wrong: true},
		{spec: "before-send", mode: payments.Live, wrong: true},
		{spec: "before-send:0", mode: payments.Sandbox, wrong: true},
		{spec: "before-send:x", mode: payments.Sandbox, wrong: true},
		{spec: ":1", mode: payments.Sandbox, wrong: true},
	} {
		got, err := failpoint(c.spec, c.mode)
		if fault.Is(err, "app.failpoint") != c.wrong || (got != nil) != c.set {
			t.Errorf("%q in %s: %v", c.spec, c.mode, err)
		}
		if got != nil {
			got("another-point") // and this process goes on
		}
	}
}
