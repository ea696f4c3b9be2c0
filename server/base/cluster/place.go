package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"crema/server/base/fault"
)

// maxSocketPath is below the smallest limit of the systems that we run on (104 bytes on macOS).
const maxSocketPath = 100

// place is where things are in a data folder. Paths are absolute and without links.
type place struct{ dir string }

func (p place) home() string         { return filepath.Join(p.dir, "postgres") }
func (p place) data() string         { return filepath.Join(p.home(), "data") }
func (p place) marker() string       { return filepath.Join(p.home(), "crema-cluster") }
func (p place) passwordFile() string { return filepath.Join(p.home(), "password") }
func (p place) pidFile() string      { return filepath.Join(p.data(), "postmaster.pid") }
func (p place) lockFile() string     { return filepath.Join(p.dir, "lock") }

func (p place) socket(port int) string {
	return filepath.Join(p.data(), ".s.PGSQL."+strconv.Itoa(port))
}

func (p place) socketFits() bool { return len(p.socket(65535)) <= maxSocketPath }

// openPlace makes the data folder when it is missing.
func openPlace(dir string) (place, error) {
	if dir == "" {
		return place{}, fault.New(fault.NotConfigured, "cluster.folder", "the data folder has no name; set CREMA_DATA")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return place{}, folderFault(err, dir)
	}
	p, err := findPlace(dir)
	if err != nil {
		return place{}, err
	}
	return p, p.checkOurs()
}

// checkOurs refuses a folder that holds something, but nothing of a data folder: a wrong CREMA_DATA must
// not litter somebody's files. The keys of the app live beside the cluster.
func (p place) checkOurs() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return folderFault(err, p.dir)
	}
	for _, e := range entries {
		switch e.Name() {
		case "postgres", "lock", "keys.json", "assetstore", "deploys":
			return nil
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return fault.New(fault.NotConfigured, "cluster.foreign_folder",
		"the data folder %s holds other files and is not ours; nothing was touched; set CREMA_DATA to an empty or new folder", p.dir)
}

func findPlace(dir string) (place, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return place{}, folderFault(err, dir)
	}
	return place{dir: abs}, nil
}

func folderFault(err error, dir string) error {
	return fault.Wrap(err, fault.NotConfigured, "cluster.folder",
		"the data folder %s cannot be used (%v); set CREMA_DATA to a folder that you may write to", dir, plain(err))
}

// plain drops the operation and the path from a file error, since the message names the path itself.
func plain(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// acquire takes the data folder for this process. The lock goes away with the process, however it ends.
func acquire(p place) (*os.File, error) {
	f, err := os.OpenFile(p.lockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, folderFault(err, p.dir)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, folderFault(err, p.dir)
		}
		return nil, fault.New(fault.Unavailable, "cluster.in_use",
			"the data folder %s is in use by another server%s; stop it, or set CREMA_DATA to another folder", p.dir, holder(f))
	}
	if err := writeHolder(f); err != nil {
		_ = f.Close()
		return nil, folderFault(err, p.dir)
	}
	return f, nil
}

// release gives the data folder free. Closing alone would not: a child that another goroutine is just
// starting shares the lock until it executes its program.
func release(lock *os.File) {
	_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
	_ = lock.Close()
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "%d\n", os.Getpid())
	return err
}

func holder(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func socketURL(p place, port int, database string) string {
	q := url.Values{"host": {p.data()}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User(Role), Path: "/" + database, RawQuery: encode(q)}).String()
}

// encode writes spaces as %20: libpq takes a plus for a plus.
func encode(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

func loopbackURL(port int, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(Role, password), Path: "/" + database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Exists says whether a data folder holds a cluster of ours, running or not.
func Exists(dir string) bool {
	_, err := os.Stat(place{dir: dir}.marker())
	return err == nil
}

// Attach finds the running cluster of a data folder. It returns a psql URL of database crema that
// holds no secret, so that it may stand on a command line, and the folder of the matching binaries.
// Whoever runs psql with it should drop PGPASSWORD from its environment.
//
// Reasons: cluster.not_running, cluster.no_binaries, cluster.version, cluster.folder.
func Attach(dir string) (url, bin string, err error) {
	p, err := findPlace(dir)
	if err != nil {
		return "", "", err
	}
	pm, ok := readPostmaster(p)
	if !ok || pm.status != "ready" || !pm.alive(p) {
		return "", "", fault.New(fault.Unavailable, "cluster.not_running",
			"no PostgreSQL runs in the data folder %s; start the server first (make run), or set CREMA_DATA", p.dir)
	}
	major, err := p.major()
	if err != nil {
		return "", "", err
	}
	b, err := findBinaries(major)
	if err != nil {
		return "", "", err
	}
	return attachURL(p, pm.port), b.Dir, nil
}

func attachURL(p place, port int) string {
	if p.socketFits() {
		return socketURL(p, port, Database)
	}
	q := url.Values{"passfile": {p.passwordFile()}, "sslmode": {"disable"}}
	u := url.URL{
		Scheme: "postgres", User: url.User(Role), Path: "/" + Database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), RawQuery: encode(q),
	}
	return u.String()
}
