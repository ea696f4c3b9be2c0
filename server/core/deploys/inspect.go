package deploys

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"crema/server/base/fault"
	"crema/server/core/deploys/archive"
)

const large = 5 << 20 // files above are remarked upon

// inspect refuses what must not be published and tells what looks wrong.
func (s *Service) inspect(ctx context.Context, version int64, say func(string)) error {
	files, err := s.store.files(ctx, version)
	if err != nil {
		return err
	}
	own, err := s.ownSecrets(ctx)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("%d files", len(files)))
	packages := false
	for _, f := range files {
		if f.Size > large {
			say(fmt.Sprintf("warning: %s has %d MB", f.Path, f.Size>>20))
		}
		packages = packages || inPackages(f.Path)
		if err := s.inspectFile(ctx, f, own, say); err != nil {
			return err
		}
	}
	if packages {
		say("warning: node_modules came along; list it in .skyignore, the server installs what package.json names")
	}
	return nil
}

func inPackages(path string) bool { return strings.Contains("/"+path, "/"+archive.Packages+"/") }

// ownSecrets are those of the app, by what they are called.
func (s *Service) ownSecrets(ctx context.Context) ([]archive.Own, error) {
	secrets, _, err := s.secrets(ctx)
	own := []archive.Own{{Name: "the master key", Value: s.c.MasterKey}}
	for name, value := range secrets {
		own = append(own, archive.Own{Name: "the secret " + name, Value: value})
	}
	return own, err
}

func (s *Service) inspectFile(ctx context.Context, f File, own []archive.Own, say func(string)) error {
	site := strings.HasPrefix(f.Path, archive.Site+"/")
	code := path.Dir(f.Path) == "." || strings.HasPrefix(f.Path, archive.Lambdas+"/")
	if !site && (!code || inPackages(f.Path)) {
		return nil
	}
	body, err := s.store.body(ctx, f.Hash)
	if err != nil {
		return err
	}
	if site {
		if err := refuseSecret(f.Path, body, own); err != nil {
			return err
		}
	}
	for _, p := range archive.Placeholders(f.Path, body) {
		say(fmt.Sprintf("warning: %s still has the placeholder %s", f.Path, p))
	}
	return nil
}

// inspectPublic refuses secrets in what functions have declared to be public.
func (s *Service) inspectPublic(ctx context.Context, ready Ready, t task) error {
	p, ok := ready.(Public)
	if !ok || t.reason != deployed {
		return nil
	}
	own, err := s.ownSecrets(ctx)
	if err != nil {
		return err
	}
	for _, folder := range p.Public() {
		if err := inspectFolder(folder, own); err != nil {
			return err
		}
	}
	return nil
}

func inspectFolder(folder string, own []archive.Own) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return disk(err, folder)
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return disk(err, folder)
		}
		body, err := fs.ReadFile(root.FS(), name)
		if err != nil {
			return disk(err, folder)
		}
		return refuseSecret(filepath.Join(filepath.Base(folder), name), body, own)
	})
}

func refuseSecret(name string, body []byte, own []archive.Own) error {
	if found := archive.Secret(body, own...); found != "" {
		return fault.New(fault.Invalid, "deploys.secret_in_site", "%s would publish a secret (%s); take it out, and keep it with crema secrets set", name, found)
	}
	return nil
}
