package deploys

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"crema/server/base/fault"
	"crema/server/base/proc"
	"crema/server/base/scratch"
	"crema/server/core/deploys/archive"
)

const (
	buildLimit = 10 * time.Minute
	youngAge   = time.Minute
	keptBuilds = 2 * keptReleases // installed sets of packages, of Python and of Node; the ones used least recently go
	complete   = ".complete"      // of a set's name, for its mark
	maxSaid    = 256 << 10        // bytes that one program of a build says
)

// installing bounds the programs of a build: a compiler fits in, a fork bomb does not.
func installing() proc.Limits {
	return proc.Limits{Memory: 4 << 30, Group: 6 << 30, Reserve: 1 << 30, Processes: 1024, Files: 4096, FileSize: 1 << 30}
}

// build installs what the functions in a folder need, where that has not been done before, and returns the
// Python interpreter that has it. Reason deploys.build_failed; the log says why.
func (s *Service) build(ctx context.Context, dir string, say func(string)) (python string, err error) {
	wanted, err := requirements(dir)
	if err != nil {
		return "", err
	}
	if len(wanted) > 0 {
		if python, err = s.buildPython(ctx, wanted, say); err != nil {
			return "", err
		}
	}
	return python, s.buildNode(ctx, dir, say)
}

func (s *Service) buildPython(ctx context.Context, wanted map[string][]byte, say func(string)) (string, error) {
	python, version, err := s.interpreter(ctx, wanted[requirementsFile], say)
	if err != nil {
		return "", err
	}
	packages := set{"python", fingerprint(together(wanted), python, version), wanted}
	home, err := s.install(ctx, packages, func(ctx context.Context, home string) error {
		say("pip: installing what requirements.txt names")
		if err := s.run(ctx, home, say, python, "-m", "venv", home); err != nil {
			return err
		}
		return s.run(ctx, home, say, filepath.Join(home, "bin", "python"), "-m", "pip", "install", "--disable-pip-version-check",
			"--no-input", "--progress-bar", "off", "-r", filepath.Join(home, requirementsFile))
	}, say)
	return filepath.Join(home, "bin", "python"), err
}

// oldStripe finds releases of Stripe's package that cannot be imported from Python 3.12 on.
var oldStripe = regexp.MustCompile(`(?mi)^\s*stripe\s*(?:==|~=|<=?)\s*[0-2]\.`)

// interpreter is the Python for what requirements.txt names, and its version: an older one where only that can import it.
func (s *Service) interpreter(ctx context.Context, wanted []byte, say func(string)) (python, version string, err error) {
	if python, err = program("python3"); err != nil {
		return "", "", fault.Wrap(err, fault.NotConfigured, "deploys.build_failed", "requirements.txt needs python3, which this server lacks")
	}
	if version, err = s.version(ctx, python); err != nil {
		return "", "", err
	}
	minor, told := 0, strings.TrimSpace(version)
	if n, _ := fmt.Sscanf(told, "Python 3.%d", &minor); n == 0 || minor < 12 || !oldStripe.Match(wanted) {
		return python, version, nil
	}
	for _, name := range []string{"python3.11", "python3.10", "python3.9", "python3.8"} {
		other, missing := program(name)
		if missing != nil {
			continue
		}
		if older, err := s.version(ctx, other); err == nil {
			say(fmt.Sprintf("%s is used: %s cannot import the release of stripe that requirements.txt names", strings.TrimSpace(older), told))
			return other, older, nil
		}
	}
	say(fmt.Sprintf("warning: %s cannot import the release of stripe that requirements.txt names; install Python 3.11 on the server, or name stripe 3.5 or newer", told))
	return python, version, nil
}

// program finds an interpreter, one that others than root can run where there is one.
func program(name string) (string, error) {
	path, err := proc.Find(name)
	if err != nil || proc.Unprivileged() == nil || proc.Reachable(path, 0o001) {
		return path, err
	}
	for _, other := range []string{"/usr/local/bin/" + name, "/usr/bin/" + name} {
		if proc.Reachable(other, 0o001) {
			return other, nil
		}
	}
	return path, nil
}

// buildNode puts packages beside the functions. Those that came with the files stay.
func (s *Service) buildNode(ctx context.Context, dir string, say func(string)) error {
	wanted, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return nil
	}
	link := filepath.Join(dir, archive.Packages)
	if info, err := os.Lstat(link); err == nil && info.IsDir() {
		return nil
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	locked := err == nil
	npm, err := program("npm")
	if err != nil {
		return fault.Wrap(err, fault.NotConfigured, "deploys.build_failed", "package.json needs npm, which this server lacks")
	}
	node, err := program("node")
	if err != nil {
		return fault.Wrap(err, fault.NotConfigured, "deploys.build_failed", "package.json needs node, which this server lacks")
	}
	version, err := s.version(ctx, node)
	if err != nil {
		return err
	}
	packages := set{"node", fingerprint(slices.Concat(wanted, lock), node, version), map[string][]byte{"package.json": wanted}}
	args := []string{"install"}
	if locked {
		args, packages.files["package-lock.json"] = []string{"ci"}, lock
	}
	home, err := s.install(ctx, packages, func(ctx context.Context, home string) error {
		say("npm: installing what package.json names")
		args = append(args, "--omit=dev", "--no-audit", "--no-fund", "--no-progress", "--loglevel=warn")
		return s.run(ctx, home, say, npm, args...)
	}, say)
	if err != nil {
		return err
	}
	s.linking.Lock()
	defer s.linking.Unlock()
	return disk(lead(link, filepath.Join(home, archive.Packages)), s.c.Dir)
}

// lead makes link lead to a folder. There is no moment without the link: a live version may look for a package.
func lead(link, to string) error {
	if now, err := os.Readlink(link); err == nil && now == to {
		return nil
	}
	next := link + ".next"
	_ = os.Remove(next) // of a killed server
	if err := os.Symlink(to, next); err != nil {
		return err
	}
	return os.Rename(next, link)
}

func fingerprint(wanted []byte, program, version string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", wanted, program, version))
	return hex.EncodeToString(sum[:12])
}

// set is packages that are installed together.
type set struct {
	kind, name string
	files      map[string][]byte // what says which they are
}

// install returns the folder of a set of packages. fill makes one that is not there. Each try has a folder of its own: what a
// killed server has started may still write into the one before.
func (s *Service) install(ctx context.Context, p set, fill func(ctx context.Context, home string) error, say func(string)) (string, error) {
	parent, err := filepath.Abs(s.packages())
	if err == nil {
		err = errors.Join(os.MkdirAll(parent, 0o755), os.Chmod(parent, 0o755))
	}
	if err != nil {
		return "", disk(err, s.c.Dir)
	}
	prefix := p.kind + "-" + p.name + "."
	marks, err := marked(parent, prefix)
	if err != nil {
		return "", disk(err, s.c.Dir)
	}
	for _, mark := range marks {
		if home := strings.TrimSuffix(mark, complete); whole(home) {
			now := time.Now()
			_ = os.Chtimes(mark, now, now) // only the order of tidying suffers
			say(p.kind + ": the packages are there already")
			return home, nil
		}
	}
	home, err := scratch.Make(parent, prefix)
	if err != nil {
		return "", disk(err, s.c.Dir)
	}
	if proc.Installer() != nil && !proc.Reachable(parent, 0o001) {
		say("warning: packages are installed as root, since other users cannot reach " + parent + "; run the server as an ordinary user, or set CREMA_DATA")
	}
	begun := time.Now()
	if err := s.fill(ctx, home.Path, p.files, fill); err != nil {
		_ = home.Remove()
		return "", disk(err, s.c.Dir)
	}
	_ = home.Keep()
	s.c.Failpoint("deploy-built")
	say(fmt.Sprintf("%s: the packages are there after %v", p.kind, time.Since(begun).Round(time.Millisecond)))
	return home.Path, nil
}

// marked lists the marks of packages in a folder whose names begin with prefix.
func marked(parent, prefix string) (marks []string, err error) {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, prefix) && strings.HasSuffix(name, complete) {
			marks = append(marks, filepath.Join(parent, name))
		}
	}
	return marks, err
}

// whole says that a folder of packages is not what a killed server has left.
func whole(home string) bool {
	_, unmarked := os.Stat(home + complete)
	_, gone := os.Stat(home)
	return unmarked == nil && gone == nil
}

// fill gives a new folder with the files of a set to the installer, and marks it when that is done. We write nothing into
// a folder that the installer has: it could make any name there a link to a file of ours. So the mark stands beside it.
func (s *Service) fill(ctx context.Context, home string, files map[string][]byte, fill func(ctx context.Context, home string) error) error {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	for name, text := range files {
		name = filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, text, 0o644), os.Chmod(name, 0o644)); err != nil {
			return err
		}
	}
	if err := errors.Join(openFolders(home), proc.Installer().Own(home)); err != nil {
		return err
	}
	if err := fill(ctx, home); err != nil {
		return err
	}
	if err := keepFromInstallers(home); err != nil {
		return err
	}
	s.c.Failpoint("deploy-building")
	syscall.Sync() // else the mark may outlive a power cut that the packages do not
	return os.WriteFile(home+complete, nil, 0o600)
}

// keepFromInstallers makes a folder and all in it ours, when we are root, and lets functions read it: what is installed later cannot
// change what is there, and a rollback finds it as it was. No link leads out of the walk.
func keepFromInstallers(home string) error {
	if proc.Installer() == nil {
		return nil
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = root.Lchown(name, os.Geteuid(), os.Getegid())
		}
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if e.IsDir() {
			return root.Chmod(name, 0o755)
		}
		return root.Chmod(name, info.Mode().Perm()|0o444)
	})
}

// run runs a program of a build in a folder of its own, as the installer when we are root, and tells what it prints.
func (s *Service) run(ctx context.Context, home string, say func(string), program string, args ...string) error {
	account := s.builder(ctx, home, program)
	cache := filepath.Join(home, ".cache")
	env := append([]string{
		"PATH=" + filepath.Dir(program) + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + os.TempDir(), "LANG=C.UTF-8",
		"PIP_CACHE_DIR=" + cache, "npm_config_cache=" + cache, "npm_config_update_notifier=false",
	}, s.c.BuildEnv...)
	var said atomic.Int64
	p, err := proc.Start(proc.Config{
		Path: program, Args: args, Dir: home, Env: env, Account: account, Limits: installing(),
		Line: func(_ proc.Stream, text string) {
			if said.Add(int64(len(text))+1) < maxSaid {
				say("  " + text)
			}
		},
	})
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		<-p.Done()
		return fault.New(fault.Timeout, "deploys.build_failed", "the packages could not be installed in time")
	}
	_ = os.RemoveAll(cache) // it would only take room
	if ended := p.Ended(); ended != "exit status 0" {
		if said.Load() >= maxSaid {
			say("  (much is left out; the last lines are:)\n" + p.Last())
		}
		return fault.New(fault.Invalid, "deploys.build_failed", "the packages could not be installed (%s: %s)", filepath.Base(program), ended)
	}
	return nil
}

// builder is who installs packages. Where that user cannot reach what it needs, we do it ourselves.
func (s *Service) builder(ctx context.Context, home, program string) *proc.Account {
	account := proc.Installer()
	if account == nil {
		return nil
	}
	if proc.Reachable(home, 0o001) && proc.Reachable(program, 0o001) {
		return account
	}
	s.c.Log.WarnContext(ctx, "packages are installed as root, because no other user can reach the data folder or the interpreter; start the server as an ordinary user", "folder", home)
	return nil
}

// version is what an interpreter says of itself.
func (s *Service) version(ctx context.Context, program string) (string, error) {
	home, err := scratch.Make(os.TempDir(), versionPrefix)
	if err != nil {
		return "", disk(err, os.TempDir())
	}
	defer home.Remove() //nolint:errcheck // it is empty
	if err := errors.Join(os.Chmod(home.Path, 0o755), proc.Installer().Own(home.Path)); err != nil {
		return "", disk(err, os.TempDir())
	}
	var lines []string
	err = s.run(ctx, home.Path, func(line string) { lines = append(lines, line) }, program, "--version")
	return strings.Join(lines, "\n"), err
}

// versionPrefix begins the names of folders in which interpreters are asked for their version.
const versionPrefix = "crema-version-"

// sweep removes what killed servers have left half done on this disk.
func (s *Service) sweep() error {
	return errors.Join(scratch.Sweep(s.versions(), draftPrefix, nil), scratch.Sweep(s.packages(), "", whole),
		scratch.Sweep(os.TempDir(), versionPrefix, nil))
}

// tidy forgets versions that cannot be rolled back to any more, in the database and on this disk.
func (s *Service) tidy(ctx context.Context) {
	err := s.store.tidy(ctx, keptReleases, unusedAge)
	if err == nil {
		s.c.Failpoint("deploy-forgotten")
		err = s.tidyDisk(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.c.Log.WarnContext(ctx, "old versions are not removed", "error", err.Error())
	}
}

// tidyDisk leaves the disk alone while somebody works there, who tidies at the end.
func (s *Service) tidyDisk(ctx context.Context) error {
	if !s.making.TryLock() {
		return nil
	}
	defer s.making.Unlock()
	var digests []string
	if err := s.c.DB.Select(ctx, &digests, sqlDigests); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.versions())
	for _, e := range entries {
		info, gone := e.Info()
		young := gone == nil && time.Since(info.ModTime()) < youngAge // another server of this machine may be about to use it
		if !slices.Contains(digests, e.Name()) && !young && !strings.HasPrefix(e.Name(), draftPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.versions(), e.Name())))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.tidyPackages(), s.sweep())
}

// tidyPackages removes the sets of packages that were used least recently.
func (s *Service) tidyPackages() error {
	marks, err := marked(s.packages(), "")
	used := map[string]time.Time{}
	for _, mark := range marks {
		if info, err := os.Stat(mark); err == nil {
			used[mark] = info.ModTime()
		}
	}
	slices.SortFunc(marks, func(a, b string) int { return used[b].Compare(used[a]) })
	for _, mark := range marks[min(len(marks), keptBuilds):] {
		err = errors.Join(err, os.RemoveAll(mark), os.RemoveAll(strings.TrimSuffix(mark, complete)))
	}
	return err
}
