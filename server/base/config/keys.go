package config

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"crema/server/base/fault"
)

// Keys are the two keys of an app.
type Keys struct {
	APIKey    Secret
	MasterKey Secret
}

// stored is Keys as the file has them, in the clear.
type stored struct {
	APIKey    string `json:"api_key"`
	MasterKey string `json:"master_key"`
}

func keysFile(dir string) string { return filepath.Join(dir, "keys.json") }

// EnsureKeys returns the keys kept in dir/keys.json, making folder and file (mode 0600) when there is
// none. Processes that start together get the same keys. A file that is damaged is an error and is
// left as it is, because clients out there may hold its keys.
func EnsureKeys(dir string) (Keys, error) {
	keys, err := readKeys(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if err := checkOurs(dir); err != nil {
		return Keys{}, err
	}
	if err := writeKeys(dir); err != nil {
		return Keys{}, fault.Wrap(err, fault.NotConfigured, "config.keys_unwritable",
			"cannot write %s: %v; make the folder writable, or set API_KEY and MASTER_KEY", keysFile(dir), pathless(err))
	}
	return readKeys(dir)
}

// checkOurs refuses a folder that holds something, but nothing of a data folder: a wrong CREMA_DATA must
// not litter somebody's files.
func checkOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 { // it will be made
		return nil
	}
	for _, e := range entries {
		if n := e.Name(); n == "postgres" || n == "lock" || n == AssetsFolder || n == DeploysFolder || strings.HasPrefix(n, ".keys-") {
			return nil
		}
	}
	return fault.New(fault.NotConfigured, "config.foreign_folder",
		"the data folder %s holds other files and is not ours; nothing was touched; set CREMA_DATA to an empty or new folder", dir)
}

func readKeys(dir string) (Keys, error) {
	name := keysFile(dir)
	b, err := os.ReadFile(name)
	if err != nil {
		return Keys{}, fault.Wrap(err, fault.NotConfigured, "config.keys_unreadable", "cannot read %s: %v", name, pathless(err))
	}
	var s stored
	if json.Unmarshal(b, &s) != nil || s.APIKey == "" || s.MasterKey == "" || s.APIKey == s.MasterKey {
		return Keys{}, fault.New(fault.NotConfigured, "config.keys_damaged",
			`%s must hold {"api_key": "...", "master_key": "..."}, two different texts; mend it, or remove it to get new keys`, name)
	}
	if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(name, 0o600); err != nil {
			return Keys{}, fault.Wrap(err, fault.NotConfigured, "config.keys_open", "%s can be read by others; run chmod 600 on it", name)
		}
	}
	return Keys{APIKey: Secret(s.APIKey), MasterKey: Secret(s.MasterKey)}, nil
}

// writeKeys makes the file whole under another name and then links it, which only the first process
// can; the others find its keys.
func writeKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	body, err := json.MarshalIndent(stored{APIKey: rand.Text(), MasterKey: rand.Text()}, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // a leftover is harmless
	_, err = tmp.Write(append(body, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), keysFile(dir)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
