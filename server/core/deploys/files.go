package deploys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/base/scratch"
	"crema/server/core/deploys/archive"
)

// Missing returns those of the contents that have to be sent, by their SHA-256.
func (s *Service) Missing(ctx context.Context, hashes [][]byte) ([][]byte, error) {
	var have [][]byte
	if err := s.c.DB.Select(ctx, &have, sqlUse, pg.Array(hashes)); err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, h := range have {
		known[string(h)] = true
	}
	missing := [][]byte{}
	for _, h := range hashes {
		if !known[string(h)] {
			known[string(h)] = true
			missing = append(missing, h)
		}
	}
	return missing, nil
}

// Keep stores a content, of which hash is what it should be. Durable on return. Reasons: deploys.bad_hash,
// archive.too_large.
func (s *Service) Keep(ctx context.Context, hash []byte, from io.Reader) error {
	body, err := io.ReadAll(io.LimitReader(from, archive.MaxFile+1))
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "deploys.cut", "the file did not arrive whole")
	}
	if len(body) > archive.MaxFile {
		return fault.New(fault.TooLarge, "archive.too_large", "a file has at most %d MB", archive.MaxFile>>20)
	}
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], hash) {
		return fault.New(fault.BadRequest, "deploys.bad_hash", "the file is not the one that was announced")
	}
	if err := s.store.keep(ctx, hash, body); err != nil {
		return err
	}
	s.c.Failpoint("deploy-kept")
	return nil
}

// create stores a version. All contents must be there.
func (s *Service) create(ctx context.Context, by string, files []File) (int64, error) {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	if err := errors.Join(archive.CheckPaths(paths), archive.CheckProject(paths)); err != nil {
		return 0, err
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	id, err := s.store.addVersion(ctx, digestOf(files), by, files, archive.MaxTotal)
	if fault.Is(err, "pg.foreign_key") {
		err = fault.New(fault.Constraint, "deploys.file_missing", "a file has not been sent; run the same command again")
	}
	return id, err
}

// digestOf is a version's name by its content.
func digestOf(files []File) string {
	sum := sha256.New()
	for _, f := range files {
		fmt.Fprintf(sum, "%q %x %o\n", f.Path, f.Hash, f.Mode)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Info is a version as operators see it.
type Info struct {
	ID     int64     `db:"id" json:"version"`
	Digest string    `db:"digest" json:"digest"`
	By     string    `db:"made_by" json:"made_by"`
	Made   time.Time `db:"made_at" json:"made_at"`
	Live   bool      `db:"live" json:"live"`
}

// Versions returns the versions that have been live, newest first.
func (s *Service) Versions(ctx context.Context) ([]Info, error) {
	all := []Info{}
	return all, s.c.DB.Select(ctx, &all, sqlVersions)
}

// materialize brings a version's files to the disk, and its packages.
func (s *Service) materialize(ctx context.Context, v *Version, say func(string)) error {
	dir, files, err := s.copied(ctx, v.ID)
	if err != nil {
		return err
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	v.Site = filepath.Join(dir, archive.Site)
	if below, ok := archive.Functions(paths); ok {
		v.Functions, v.Project = filepath.Join(dir, below), below != archive.Lambdas
		v.Python, err = s.build(ctx, v.Functions, say)
		if err != nil && v.Lenient { // at a start: the files and the functions in Go are better than nothing
			s.c.Log.ErrorContext(ctx, "the functions of the live version were left out, their packages are missing", "error", err.Error())
			v.Functions, err = "", nil
		}
	}
	return err
}

// copied returns a version's folder on this disk, which is made if it is not there, and its files.
func (s *Service) copied(ctx context.Context, id int64) (dir string, files []File, err error) {
	var info Info
	if err := s.c.DB.Get(ctx, &info, sqlVersion, id); err != nil {
		return "", nil, err
	}
	if files, err = s.store.files(ctx, id); err != nil {
		return "", nil, err
	}
	if dir, err = filepath.Abs(filepath.Join(s.versions(), info.Digest)); err != nil {
		return "", nil, disk(err, s.c.Dir)
	}
	if _, err := os.Stat(dir); err != nil {
		if err := s.unfold(ctx, dir, info.Made, files); err != nil {
			return "", nil, disk(err, s.c.Dir)
		}
	}
	return dir, files, nil
}

// mend removes the copies of versions that lack a file or a part of one, as after a power cut. They are made again when they are
// needed.
func (s *Service) mend(ctx context.Context) error {
	all, err := s.Versions(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		dir := filepath.Join(s.versions(), v.Digest)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		files, err := s.store.files(ctx, v.ID)
		if err != nil {
			return err
		}
		damaged := func(f File) bool {
			info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f.Path)))
			return err != nil || info.Size() != f.Size
		}
		if i := slices.IndexFunc(files, damaged); i >= 0 {
			s.c.Log.WarnContext(ctx, "the copy of a version is damaged and is made again", "version", v.ID, "file", files[i].Path)
			if err := os.RemoveAll(dir); err != nil {
				return disk(err, s.c.Dir)
			}
		}
	}
	return nil
}

// before returns what was live lately, and what is live now, as it is when id becomes live. What cannot be brought to the disk is
// left out and told.
func (s *Service) before(ctx context.Context, id *int64) (all []Before, err error) {
	now := s.c.Now()
	var list []replaced
	if err := s.c.DB.Select(ctx, &list, sqlReplaced, now.Add(-openPages)); err != nil {
		return nil, err
	}
	known := map[string]bool{named(id): true}
	for _, r := range slices.Concat([]replaced{{s.live.Version, now}}, list) {
		if known[named(r.Version)] {
			continue
		}
		known[named(r.Version)] = true
		b := Before{Until: r.At.Add(openPages)}
		if r.Version != nil {
			dir, _, err := s.copied(ctx, *r.Version)
			if err != nil {
				s.c.Log.WarnContext(ctx, "pages of a version before may miss files", "version", *r.Version, "error", err.Error())
				continue
			}
			b.Site = filepath.Join(dir, archive.Site)
		}
		all = append(all, b)
	}
	return all, nil
}

// unfold writes a version into a folder, which appears whole. Its files are as old as the version, so that all servers
// say the same of them.
func (s *Service) unfold(ctx context.Context, dir string, made time.Time, files []File) error {
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		return err
	}
	draft, err := scratch.Make(filepath.Dir(dir), draftPrefix)
	if err != nil {
		return err
	}
	defer draft.Remove() //nolint:errcheck // it has been renamed, or is removed at the next start
	for _, f := range files {
		if err := s.write(ctx, filepath.Join(draft.Path, filepath.FromSlash(f.Path)), f, made); err != nil {
			return err
		}
	}
	if err := openFolders(draft.Path); err != nil {
		return err
	}
	s.c.Failpoint("deploy-drafted")
	if err := os.Rename(draft.Path, dir); err != nil {
		if _, there := os.Stat(dir); there == nil { // another server of this machine was quicker
			return nil
		}
		return err
	}
	s.c.Failpoint("deploy-unfolded")
	return nil
}

// draftPrefix begins the names of folders that are being written.
const draftPrefix = ".draft-"

func (s *Service) write(ctx context.Context, name string, f File, made time.Time) error {
	body, err := s.store.body(ctx, f.Hash)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], f.Hash) {
		return fault.New(fault.Internal, "deploys.damaged", "the file %s is damaged in the database", f.Path)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := writeNew(name, body, f.Mode); err != nil {
		return err
	}
	return errors.Join(os.Chmod(name, f.Mode), os.Chtimes(name, made, made))
}

// writeNew writes a file that is not there yet: on some disks names in capital and small letters are the same.
func writeNew(name string, body []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Invalid, "deploys.same_name", "%s is there twice for this server's disk; names must differ in more than capital letters", filepath.Base(name))
	}
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Close())
}

// openFolders lets everybody read the folders below one, whatever our umask: functions may run as another user.
func openFolders(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = os.Chmod(name, 0o755)
		}
		return err
	})
}

func disk(err error, dir string) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.Wrap(err, fault.NotConfigured, "deploys.disk", "the folder %s cannot be written; give it room, or set CREMA_DATA", dir)
}

func named(version *int64) string {
	if version == nil {
		return "folder"
	}
	return strconv.FormatInt(*version, 10)
}
