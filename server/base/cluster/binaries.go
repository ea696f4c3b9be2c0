package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"crema/server/base/fault"
)

// oldestMajor is the oldest PostgreSQL that the SQL of this server is written for.
const oldestMajor = 13

// Binaries is one installation of PostgreSQL.
type Binaries struct {
	Dir     string // absolute, holds initdb, postgres and normally psql
	Major   int    // 15
	Version string // "15.18"
}

// Path returns the path of a program of this installation.
func (b Binaries) Path(program string) string { return filepath.Join(b.Dir, program) }

// FindBinaries returns the PostgreSQL to use: the one on PATH, else the newest of those that Debian,
// Homebrew or Postgres.app installed. Reason cluster.no_binaries says what to install.
func FindBinaries() (Binaries, error) { return findBinaries(0) }

// findBinaries returns an installation of this major version; 0 takes any that is new enough.
func findBinaries(major int) (Binaries, error) {
	var seen []string
	for _, dir := range candidates() {
		b, err := inspect(dir)
		if err != nil {
			continue
		}
		if b.Major == major || major == 0 && b.Major >= oldestMajor {
			return b, nil
		}
		seen = append(seen, fmt.Sprintf("%s in %s", b.Version, b.Dir))
	}
	found := "none"
	if len(seen) > 0 {
		found = strings.Join(seen, ", ")
	}
	if major == 0 {
		return Binaries{}, fault.New(fault.NotConfigured, "cluster.no_binaries",
			"no PostgreSQL %d or newer is installed (found: %s); install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), or set DATABASE_URL",
			oldestMajor, found)
	}
	return Binaries{}, fault.New(fault.Incompatible, "cluster.version",
		"the cluster was made by PostgreSQL %d, but the installed one is another (found: %s); install version %d again (apt-get install postgresql-%d, brew install postgresql@%d), or set CREMA_DATA to a new folder and move the data with pg_dumpall; nothing was changed",
		major, found, major, major, major).With("cluster_major", major)
}

// candidates returns the folders to look in, the best first.
func candidates() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		// Links are followed, because initdb looks for its files beside the real program.
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil && filepath.IsAbs(real) {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/opt/homebrew/opt/postgresql/bin",
		"/usr/local/opt/postgresql@*/bin", "/usr/local/opt/postgresql/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return majorInPath(b) - majorInPath(a) })
		dirs = append(dirs, found...)
	}
	return slices.Compact(dirs)
}

// majorInPath reads 15 from /usr/lib/postgresql/15/bin and from .../postgresql@15/bin, else 0.
func majorInPath(dir string) int {
	name := filepath.Base(filepath.Dir(dir))
	n, _ := strconv.Atoi(name[strings.LastIndexAny(name, "@-")+1:])
	return n
}

// inspect asks the programs in dir for their version. Both must be there: a client-only
// installation has neither, a broken one has one.
func inspect(dir string) (Binaries, error) {
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return Binaries{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, err
	}
	version, major, err := parseVersion(string(out))
	return Binaries{Dir: dir, Major: major, Version: version}, err
}

// parseVersion reads "postgres (PostgreSQL) 15.18 (Debian ...)", "17beta1" and the like.
func parseVersion(line string) (version string, major int, err error) {
	_, rest, _ := strings.Cut(line, "(PostgreSQL)")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return "", 0, errors.New("no version in " + strconv.Quote(line))
	}
	version = fields[0]
	digits := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(version)
	}
	major, err = strconv.Atoi(version[:digits])
	return version, major, err
}
