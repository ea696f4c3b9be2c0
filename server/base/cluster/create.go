package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"crema/server/base/fault"
)

// prepare returns the binaries for the cluster in the data folder, which it makes when there is none.
func (p place) prepare(ctx context.Context, cfg Config) (Binaries, error) {
	fresh, err := p.vacant()
	if err != nil {
		return Binaries{}, err
	}
	if !fresh {
		major, err := p.major()
		if err != nil {
			return Binaries{}, err
		}
		return findBinaries(major)
	}
	bin, err := findBinaries(0)
	if err != nil {
		return Binaries{}, err
	}
	return bin, p.create(ctx, bin, cfg)
}

// vacant says whether a cluster is to be made. A folder that holds anything that is not ours is refused.
func (p place) vacant() (bool, error) {
	entries, err := os.ReadDir(p.home())
	if info, lerr := os.Lstat(p.home()); lerr == nil && info.Mode()&fs.ModeSymlink != 0 && len(entries) == 0 {
		return false, fault.New(fault.NotConfigured, "cluster.foreign_folder",
			"%s is a link, and there is no cluster where it points; remove it and set CREMA_DATA to the place that you want", p.home())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, fault.Wrap(err, fault.NotConfigured, "cluster.foreign_folder", "%s cannot be read (%v); nothing was changed", p.home(), plain(err))
	case len(entries) == 0:
		return true, nil
	}
	if _, err := os.Stat(p.marker()); err != nil {
		return false, fault.New(fault.NotConfigured, "cluster.foreign_folder",
			"%s is not a cluster of this server (it has no file %s); move it away, or set CREMA_DATA to another folder; nothing was changed",
			p.home(), filepath.Base(p.marker()))
	}
	return false, nil
}

// major returns the major version that made the cluster.
func (p place) major() (int, error) {
	b, err := os.ReadFile(filepath.Join(p.data(), "PG_VERSION"))
	if err != nil {
		return 0, fault.Wrap(err, fault.NotConfigured, "cluster.damaged",
			"the cluster in %s has no readable data/PG_VERSION (%v); put the folder back from a copy, or set CREMA_DATA to another folder; nothing was changed", p.home(), plain(err))
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fault.Wrap(err, fault.NotConfigured, "cluster.damaged", "%s/data/PG_VERSION holds no version; nothing was changed", p.home())
	}
	return n, nil
}

// create makes a cluster beside its final name and renames it when all of it is on disk.
func (p place) create(ctx context.Context, bin Binaries, cfg Config) error {
	if err := p.sweep(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(p.dir, "postgres.new-")
	if err != nil {
		return folderFault(err, p.dir)
	}
	if err := (draft{dir: dir, bin: bin, fast: cfg.Fast}).fill(ctx); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	// os.Rename refuses an empty folder in the way.
	if err := syscall.Rename(dir, p.home()); err != nil {
		return errors.Join(folderFault(err, p.home()), os.RemoveAll(dir))
	}
	return syncPath(p.dir)
}

// sweep removes what an earlier, killed attempt left; it was never live, and the lock keeps others
// out. Its initdb may take a moment to notice the end of its parent, and writes until then.
func (p place) sweep(ctx context.Context) error {
	left, _ := filepath.Glob(filepath.Join(globQuote(p.dir), "postgres.new-*"))
	for _, dir := range left {
		deadline := time.Now().Add(10 * time.Second)
		err := os.RemoveAll(dir)
		for err != nil && ctx.Err() == nil && time.Now().Before(deadline) {
			pause(ctx, 10*poll)
			err = os.RemoveAll(dir)
		}
		if err != nil {
			return folderFault(err, dir)
		}
	}
	return nil
}

// globQuote makes a path stand for itself in a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// draft is a cluster that is being made.
type draft struct {
	dir   string
	bin   Binaries
	owner *account
	fast  bool
}

func (d draft) data() string { return filepath.Join(d.dir, "data") }

// fill makes everything that belongs in a cluster folder and puts it on disk.
func (d draft) fill(ctx context.Context) (err error) {
	if d.owner, err = dropTo(); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(d.data(), 0o700), d.owner.chown(d.data()), d.owner.chown(d.dir)); err != nil {
		return folderFault(err, d.dir)
	}
	if err := d.initdb(ctx); err != nil {
		return err
	}
	if err := d.configure(); err != nil {
		return folderFault(err, d.dir)
	}
	password := rand.Text()
	if err := d.writeOwn(password); err != nil {
		return folderFault(err, d.dir)
	}
	err = singleUser(ctx, d.bin, d.data(), d.owner, "CREATE DATABASE "+Database, setPassword(password))
	if err != nil || d.fast {
		return err
	}
	return d.sync(ctx)
}

// locales returns initdb's arguments for byte order and Unicode letters, the best first. Not every
// system knows the name of such a locale.
func (d draft) locales() [][]string {
	l := [][]string{
		{"--locale=C", "--lc-ctype=C.UTF-8"},
		{"--locale=C", "--lc-ctype=en_US.UTF-8"},
		{"--locale=C"},
	}
	if d.bin.Major >= 17 {
		l = append([][]string{{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"}}, l...)
	}
	return l
}

func (d draft) initdb(ctx context.Context) error {
	var out string
	var err error
	for _, locale := range d.locales() {
		args := append([]string{
			"--username=" + Role, "--encoding=UTF8", "--auth=trust", "--data-checksums",
			"--no-sync", "--no-instructions",
		}, locale...)
		out, err = run(ctx, command{bin: d.bin.Path("initdb"), data: d.data(), owner: d.owner, args: args})
		if err == nil {
			return nil
		}
		if !strings.Contains(strings.ToLower(out), "locale") || ctx.Err() != nil {
			break
		}
	}
	return initFault(ctx, err, out)
}

func initFault(ctx context.Context, err error, out string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("make the cluster: %w", ctx.Err())
	}
	if known := (*fault.Error)(nil); errors.As(err, &known) {
		return err
	}
	return fault.Wrap(err, fault.DatabaseUnavailable, "cluster.init_failed",
		"PostgreSQL could not make a cluster; its last lines: %s", lastLines(out, 6))
}

func (d draft) writeOwn(password string) error {
	marker := "A PostgreSQL cluster of a Crema server. Do not start it by hand while the server runs.\n"
	return errors.Join(
		writeSynced(filepath.Join(d.dir, "crema-cluster"), marker, d.owner, d.fast),
		writeSynced(filepath.Join(d.dir, "password"), passwordPrefix+password+"\n", d.owner, d.fast),
	)
}

// sync puts the whole draft on disk.
func (d draft) sync(ctx context.Context) error {
	out, err := run(ctx, command{bin: d.bin.Path("initdb"), data: d.data(), owner: d.owner, args: []string{"--sync-only"}})
	if err != nil {
		return initFault(ctx, err, out)
	}
	if err := syncPath(d.dir); err != nil {
		return folderFault(err, d.dir)
	}
	return nil
}

// passwordPrefix stands before the password in its file, which is a libpq passfile.
const passwordPrefix = "*:*:*:" + Role + ":"

func setPassword(password string) string {
	return fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", Role, password)
}

// ensurePassword returns the password of the loopback port. When its file is lost it makes a new one.
func (p place) ensurePassword(ctx context.Context, bin Binaries, owner *account) (string, error) {
	if b, err := os.ReadFile(p.passwordFile()); err == nil {
		if password, ok := strings.CutPrefix(strings.TrimSpace(string(b)), passwordPrefix); ok && password != "" {
			return password, nil
		}
	}
	password := rand.Text()
	if err := singleUser(ctx, bin, p.data(), owner, setPassword(password)); err != nil {
		return "", err
	}
	if err := writeSynced(p.passwordFile(), passwordPrefix+password+"\n", owner, false); err != nil {
		return "", folderFault(err, p.home())
	}
	return password, nil
}

// singleUser runs statements in a postgres that serves nobody else. Each must fit on a line.
func singleUser(ctx context.Context, bin Binaries, data string, owner *account, statements ...string) error {
	out, err := run(ctx, command{
		bin: bin.Path("postgres"), first: "--single", data: data, owner: owner,
		args:  []string{"-c", "exit_on_error=true", "-c", "password_encryption=scram-sha-256", "-c", "log_checkpoints=off", "postgres"},
		stdin: strings.Join(statements, "\n") + "\n",
	})
	if err != nil {
		return initFault(ctx, err, out)
	}
	return nil
}

// writeSynced writes a 0600 file, on disk unless fast, and gives it to the owner.
func writeSynced(path, text string, owner *account, fast bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil && !fast {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), owner.chown(path))
}

// syncPath syncs a folder's entries.
func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
