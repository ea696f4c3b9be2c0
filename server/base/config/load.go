package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"crema/server/base/fault"
)

// Env looks a variable up, as os.LookupEnv does.
type Env = func(name string) (string, bool)

// Open is Read that then fills the keys that are not given with EnsureKeys.
func Open(dir string, env Env) (*Config, error) {
	c, err := Read(dir, env)
	if err != nil {
		return nil, err
	}
	return c, c.fillKeys()
}

// OpenMade is Open for commands beside a server: the keys must have been given or made before, and
// nothing is written. Reason config.no_keys.
func OpenMade(dir string, env Env) (*Config, error) {
	c, err := Read(dir, env)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(keysFile(c.DataDir)); errors.Is(err, fs.ErrNotExist) && (c.APIKey == "" || c.MasterKey == "") {
		return nil, fault.New(fault.NotConfigured, "config.no_keys",
			"there are no keys in %s; go to the folder of app.json, set CREMA_DATA, give API_KEY and MASTER_KEY, or start the server first (make run)", c.DataDir)
	}
	return c, c.fillKeys()
}

// Read is Load for a folder: its app.json (which may be absent), its .env, and env, which wins over
// .env. Relative folders are taken from dir. It writes nothing, and keys that are not given stay empty.
func Read(dir string, env Env) (*Config, error) {
	appJSON, err := readOptional(filepath.Join(dir, "app.json"))
	if err != nil {
		return nil, err
	}
	dotEnv, err := readOptional(filepath.Join(dir, ".env"))
	if err != nil {
		return nil, err
	}
	p := &problems{}
	c := load(p, layered(env, parseDotEnv(p, string(dotEnv))), appJSON)
	if err := p.err(); err != nil {
		return nil, err
	}
	c.DataDir, c.StaticDir, c.FunctionsDir = below(dir, c.DataDir), below(dir, c.StaticDir), below(dir, c.FunctionsDir)
	if c.Assets.Dir == "" {
		c.Assets.Dir = filepath.Join(c.DataDir, AssetsFolder)
	}
	c.Assets.Dir = below(dir, c.Assets.Dir)
	return c, nil
}

// Load builds a Config from an environment and the text of app.json. It touches no file but those that
// X_FILE variables name. Keys that are not given stay empty. All faults come back in one
// fault.NotConfigured error, reason config.invalid, details "problems".
func Load(env Env, appJSON []byte) (*Config, error) {
	p := &problems{}
	c := load(p, env, appJSON)
	return c, p.err()
}

func load(p *problems, env Env, appJSON []byte) *Config {
	c := defaults()
	c.readAppJSON(p, appJSON)
	c.readEnvironment(&variables{env: env, p: p})
	return c
}

func (c *Config) fillKeys() error {
	if c.APIKey != "" && c.MasterKey != "" {
		return nil
	}
	keys, err := EnsureKeys(c.DataDir)
	if err != nil {
		return err
	}
	if c.APIKey == "" {
		c.APIKey = keys.APIKey
	}
	if c.MasterKey == "" {
		c.MasterKey = keys.MasterKey
	}
	if c.APIKey == c.MasterKey {
		p := &problems{}
		p.add("API_KEY and MASTER_KEY are the same; one of them is kept in %s: give both, or neither", keysFile(c.DataDir))
		return p.err()
	}
	return nil
}

func readOptional(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotConfigured, "config.unreadable", "cannot read %s: %v; mend its permissions or remove it", name, pathless(err))
	}
	return b, nil
}

// pathless is what went wrong with a file, without repeating its name.
func pathless(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// layered looks in env first, then in the map.
func layered(env Env, under map[string]string) Env {
	return func(name string) (string, bool) {
		if v, ok := env(name); ok {
			return v, true
		}
		v, ok := under[name]
		return v, ok
	}
}

// parseDotEnv reads lines NAME=value, with or without quotes and a leading export. A "#" starts a comment at the
// start of a line or after a blank.
func parseDotEnv(p *problems, text string) map[string]string {
	vars := map[string]string{}
	for i, line := range strings.Split(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "export "))
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\"'") {
			p.add(".env line %d is not NAME=value", i+1) // its text may be a secret
			continue
		}
		value, ok = unquote(strings.TrimSpace(value))
		if !ok {
			p.add(".env line %d: the value of %s has a quote that is not closed", i+1, name)
			continue
		}
		vars[name] = value
	}
	return vars
}

func unquote(v string) (string, bool) {
	if v == "" || (v[0] != '"' && v[0] != '\'') {
		if i := strings.Index(v, " #"); i >= 0 {
			v = v[:i]
		}
		return strings.TrimSpace(v), true
	}
	quote := v[0]
	end := strings.IndexByte(v[1:], quote)
	if end < 0 {
		return "", false
	}
	rest := strings.TrimSpace(v[end+2:])
	return v[1 : end+1], rest == "" || rest[0] == '#'
}
