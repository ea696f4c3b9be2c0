package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"crema/server/base/fault"
)

// poll is the pause between two looks at a server that starts or stops.
const poll = 5 * time.Millisecond

// orphanGrace is how long an orphan may take for each way of stopping it.
const orphanGrace = 10 * time.Second

// postmaster is what a running postgres says of itself in postmaster.pid.
type postmaster struct {
	pid    int
	port   int
	status string // "ready" when it accepts connections
}

// readPostmaster reads postmaster.pid; ok is false when there is none. A file that is being written
// has fewer lines.
func readPostmaster(p place) (pm postmaster, ok bool) {
	b, err := os.ReadFile(p.pidFile())
	if err != nil {
		return postmaster{}, false
	}
	line := strings.Split(string(b), "\n")
	if len(line) < 8 {
		line = append(line, make([]string, 8-len(line))...)
	}
	pm.pid, err = strconv.Atoi(strings.TrimSpace(line[0]))
	if err != nil || pm.pid <= 0 {
		return postmaster{}, false
	}
	pm.port, _ = strconv.Atoi(strings.TrimSpace(line[3]))
	pm.status = strings.TrimSpace(line[7])
	return pm, true
}

// exists says whether any process has this pid.
func (pm postmaster) exists() bool {
	err := syscall.Kill(pm.pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// alive says whether the process runs and is a postgres on this very data directory. A pid alone
// proves nothing: after a restart of the machine it is somebody else's.
func (pm postmaster) alive(p place) bool { return pm.exists() && worksIn(pm.pid, p.data()) }

// stopOrphan ends a postgres that a killed server of ours left behind. We hold the lock, so no
// other server owns it.
func stopOrphan(ctx context.Context, p place) error {
	pm, ok := readPostmaster(p)
	if !ok || !pm.alive(p) {
		return dropStale(p, pm)
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pm.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fault.Wrap(err, fault.Denied, "cluster.in_use",
				"a PostgreSQL (process %d) still runs in %s and may not be stopped by this user; stop it first", pm.pid, p.data())
		}
		if pm.gone(ctx, p) {
			return dropStale(p, pm)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stop the PostgreSQL of an earlier server: %w", ctx.Err())
		}
	}
	return fault.New(fault.Unavailable, "cluster.in_use", "a PostgreSQL (process %d) still runs in %s and does not stop", pm.pid, p.data())
}

func (pm postmaster) gone(ctx context.Context, p place) bool {
	ctx, cancel := context.WithTimeout(ctx, orphanGrace)
	defer cancel()
	for pm.alive(p) {
		if ctx.Err() != nil {
			return false
		}
		pause(ctx, poll)
	}
	return true
}

// dropStale removes the pid file and the sockets of a postgres that is gone. postgres would remove
// them too, unless their pid now belongs to some other process: it only asks whether the pid exists,
// and refuses to start. Children of a killed postgres are still found by their shared memory.
func dropStale(p place, pm postmaster) error {
	stale, _ := filepath.Glob(filepath.Join(globQuote(p.data()), ".s.PGSQL.*"))
	if pm.pid != 0 && pm.exists() {
		stale = append(stale, p.pidFile())
	}
	for _, path := range stale {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return folderFault(err, path)
		}
	}
	return nil
}

// lastPort returns the port of the run before, 0 when there is none.
func (p place) lastPort() int {
	b, err := os.ReadFile(filepath.Join(p.data(), "postmaster.opts"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), `"port=`)
	digits, _, _ := strings.Cut(rest, `"`)
	n, _ := strconv.Atoi(digits)
	return n
}

// awaitReady returns when a login works. The pid file says when it is worth a try, so that no
// refused attempts fill the log.
func (c *Cluster) awaitReady(ctx context.Context) error {
	for {
		select {
		case <-c.proc.done:
			return c.proc.ended()
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w", ctx.Err())
		default:
		}
		if pm, ok := readPostmaster(c.place); ok && pm.pid == c.proc.cmd.Process.Pid && pm.status == "ready" {
			return c.knock()
		}
		pause(ctx, poll)
	}
}

// knock logs in the way that URL will.
func (c *Cluster) knock() error {
	network, address := "unix", c.socket(c.port)
	if !c.socketFits() {
		network, address = "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
	}
	if err := login(network, address); err != nil {
		return fault.Wrap(err, fault.DatabaseUnavailable, "cluster.start_failed",
			"PostgreSQL runs but refuses this user (%v); the rules are in %s/pg_hba.conf and pg_ident.conf", err, c.data())
	}
	return nil
}

// login sends a startup message and reads the first answer: accepted on the socket, a password
// asked for on loopback.
func login(network, address string) error {
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	body := "\x00\x03\x00\x00user\x00" + Role + "\x00database\x00" + Database + "\x00\x00"
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil {
		return err
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	if head[0] == 'R' {
		_, err = conn.Write([]byte{'X', 0, 0, 0, 4})
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(conn, 2000))
	return errors.New(errorText(text))
}

// errorText finds the message among the fields of an ErrorResponse.
func errorText(fields []byte) string {
	for f := range strings.SplitSeq(string(fields), "\x00") {
		if strings.HasPrefix(f, "M") {
			return f[1:]
		}
	}
	return "an answer that is not PostgreSQL's"
}
