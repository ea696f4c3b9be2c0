package app

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"crema/server/base/fault"
	"crema/server/core/payments"
)

// failpointVariable is for tests only: "name" or "name:n" ends this process, as if the power were cut,
// the nth time that the room of payments or of deploys comes to that point.
const failpointVariable = "CREMA_FAILPOINT"

// failpoint returns what Config.Failpoint of a room asks for, nil when no point is named. Each room's points have names of
// their own.
func failpoint(spec string, mode payments.Mode) (func(string), error) {
	if spec == "" {
		return nil, nil
	}
	name, count, counted := strings.Cut(spec, ":")
	nth, err := int64(1), error(nil)
	if counted {
		nth, err = strconv.ParseInt(count, 10, 32)
	}
	if mode != payments.Sandbox || name == "" || err != nil || nth < 1 {
		return nil, fault.New(fault.NotConfigured, "app.failpoint",
			"%s is for tests in the sandbox, as name or name:n; unset it", failpointVariable)
	}
	var seen atomic.Int64
	return func(at string) {
		if at == name && seen.Add(1) == nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal has come
		}
	}, nil
}
