package cluster

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"crema/server/base/fault"
)

// Names inside the private cluster.
const (
	Role     = "crema" // superuser and owner of Database
	Database = "crema" // where the server keeps its tables
)

// killGrace is how long an immediate shutdown may take before the process group is killed.
const killGrace = 10 * time.Second

// Config says where the cluster lives.
type Config struct {
	Dir  string       // the data folder, for example .crema; the cluster lives in Dir/postgres
	Log  *slog.Logger // gets PostgreSQL's own log lines; nil drops them
	Fast bool         // tests only: nothing is synced to disk, a crash may lose the cluster
}

// Cluster is a running PostgreSQL that belongs to this process.
type Cluster struct {
	place
	port     int
	password string
	bin      Binaries
	lock     *os.File
	proc     *process
	done     chan struct{}
	stopping atomic.Bool
	err      error // written before done is closed
}

// Start makes the cluster when the data folder has none, recovers what a killed server left, and
// returns when PostgreSQL accepts connections. ctx bounds the starting only; the cluster lives until
// Stop. On error nothing is left running.
//
// Reasons: cluster.no_binaries, cluster.version, cluster.foreign_folder, cluster.damaged,
// cluster.in_use, cluster.folder, cluster.owner, cluster.init_failed, cluster.start_failed.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p, err := openPlace(c.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := acquire(p)
	if err != nil {
		return nil, err
	}
	cl := &Cluster{place: p, lock: lock, done: make(chan struct{})}
	if err := cl.start(ctx, c); err != nil {
		release(lock)
		return nil, err
	}
	go cl.watch()
	return cl, nil
}

func (c *Cluster) start(ctx context.Context, cfg Config) error {
	bin, err := c.prepare(ctx, cfg)
	if err != nil {
		return err
	}
	c.bin = bin
	owner, err := c.owner()
	if err != nil {
		return err
	}
	if err := stopOrphan(ctx, c.place); err != nil {
		return err
	}
	if err := c.writeIdent(owner); err != nil {
		return err
	}
	if c.password, err = c.ensurePassword(ctx, bin, owner); err != nil {
		return err
	}
	return c.launch(ctx, cfg, owner)
}

// launch starts postgres, with another port or once more where that helps.
func (c *Cluster) launch(ctx context.Context, cfg Config, owner *account) error {
	port := c.lastPort()
	for deadline := time.Now().Add(15 * time.Second); ; {
		var err error
		if c.port, err = freePort(port); err != nil {
			return fault.Wrap(err, fault.Unavailable, "cluster.start_failed", "no free port on 127.0.0.1 for PostgreSQL")
		}
		c.proc, err = startProcess(command{
			bin: c.bin.Path("postgres"), data: c.data(), owner: owner, args: c.settings(cfg), log: cfg.Log,
		})
		if err != nil {
			return err
		}
		if err = c.awaitReady(ctx); err == nil {
			return nil
		}
		c.proc.end(ctx)
		if ctx.Err() != nil || time.Now().After(deadline) || !c.proc.log.passing() {
			return err
		}
		port = 0
		pause(ctx, 50*time.Millisecond)
	}
}

// watch releases the data folder when postgres has ended.
func (c *Cluster) watch() {
	<-c.proc.done
	if !c.stopping.Load() {
		c.err = c.proc.failure("cluster.died", "PostgreSQL ended by itself")
	}
	release(c.lock)
	close(c.done)
}

// URL returns a lib/pq and psql URL of a database: over the unix socket and without a password, or
// over loopback with the password where the path of the socket is too long for the operating system.
func (c *Cluster) URL(database string) string {
	if !c.socketFits() {
		return c.TCPURL(database)
	}
	return socketURL(c.place, c.port, database)
}

// TCPURL returns the loopback URL of a database, with the password. It is a secret.
func (c *Cluster) TCPURL(database string) string {
	return loopbackURL(c.port, c.password, database)
}

// Binaries returns what the cluster runs on.
func (c *Cluster) Binaries() Binaries { return c.bin }

// Done is closed when PostgreSQL has ended, by Stop or by itself.
func (c *Cluster) Done() <-chan struct{} { return c.done }

// Err says why PostgreSQL ended by itself (reason cluster.died, with its last log lines). It is nil
// while it runs and after a Stop.
func (c *Cluster) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Stop ends PostgreSQL in order: open transactions are rolled back and everything is on disk when it
// returns nil. When ctx ends first it stops at once, and the next Start recovers from the log; then
// the error of ctx is returned. It may be called again.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopping.Store(true)
	err := c.proc.end(ctx)
	<-c.done
	return err
}

// end asks for a fast shutdown, for an immediate one when ctx ends, and kills in the last resort.
func (p *process) end(ctx context.Context) error {
	p.signal(syscall.SIGINT)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	p.signal(syscall.SIGQUIT)
	grace := time.NewTimer(killGrace)
	defer grace.Stop()
	select {
	case <-p.done:
	case <-grace.C:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
	return ctx.Err()
}

// freePort returns the wanted port when nobody has it, else another one.
func freePort(want int) (int, error) {
	if want != 0 {
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(want)); err == nil {
			return want, l.Close()
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
