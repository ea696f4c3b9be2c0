package config

import (
	"cmp"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The listen address is this machine only unless somebody decides otherwise: DEV_MODE is on by default,
// and in it the client key may change the schema.
const (
	defaultHost = "127.0.0.1"
	defaultPort = "3000"
)

func defaults() *Config {
	return &Config{
		Name: "myapp", DataDir: ".crema", DevMode: true, CORSHost: "*",
		Listen:          net.JoinHostPort(defaultHost, defaultPort),
		ResponseTimeout: time.Minute,
		Log:             Log{Level: slog.LevelInfo, Format: "text"},
		Shop:            Shop{Name: "Crema", Currency: "usd"},
		FunctionTimeout: time.Minute,
		BodyLimit:       4 << 20,
		FunctionsDir:    "lambdas",
		StaticDir:       "public_html",
		Assets:          Assets{MaxBytes: 100 << 20},
	}
}

// variables reads the environment and notes what is wrong. An empty variable counts as not given,
// except CORS_HOST, where empty means off.
type variables struct {
	env Env
	p   *problems
}

func (v *variables) get(name string) (string, bool) {
	s, ok := v.env(name)
	s = strings.TrimSpace(s)
	return s, ok && s != ""
}

// secret is the variable name, or the content of the file that name_FILE names.
func (v *variables) secret(name string) Secret {
	value, given := v.get(name)
	file, inFile := v.get(name + "_FILE")
	switch {
	case given && inFile:
		v.p.add("%s and %s_FILE are both given; unset one of them", name, name)
	case inFile:
		b, err := os.ReadFile(file)
		value = strings.TrimSpace(string(b))
		if err != nil {
			v.p.add("%s_FILE: cannot read %s: %v", name, file, pathless(err))
		} else if value == "" {
			v.p.add("%s_FILE: %s is empty", name, file)
		}
	}
	return Secret(value)
}

func (v *variables) boolean(name string, to *bool) {
	s, ok := v.get(name)
	if !ok {
		return
	}
	switch strings.ToLower(s) {
	case "true", "1", "yes", "y", "t", "on":
		*to = true
	case "false", "0", "no", "n", "f", "off":
		*to = false
	default:
		v.p.add("%s is %q; it must be true or false", name, s)
	}
}

func (c *Config) readEnvironment(v *variables) {
	if s, ok := v.get("APP_NAME"); ok {
		if c.Name = s; !schemaName.MatchString(s) {
			v.p.add("APP_NAME is %q; it must be %s", s, nameRule)
		}
	}
	c.readAddress(v)
	c.readDatabase(v)
	v.boolean("DEV_MODE", &c.DevMode)
	c.readCORS(v)
	c.readTimeout(v)
	if s, ok := v.get("CREMA_DATA"); ok {
		c.DataDir = s
	}
	c.readProxies(v)
	c.readLog(v)
	c.readUnused(v)
	c.APIKey, c.MasterKey = v.secret("API_KEY"), v.secret("MASTER_KEY")
	if c.APIKey != "" && c.APIKey == c.MasterKey {
		v.p.add("API_KEY and MASTER_KEY are the same; the master key passes every check, so give clients another one")
	}
	c.Users.read(v)
	c.Operator.read(v)
	c.Stripe.read(v)
	c.Push.read(v)
	c.Assets.read(v)
	c.readPlugins(v)
	c.checkPayments(v.p)
}

// readAddress takes HOST as Skygear did, the whole address; what lacks a port gets PORT's or 3000.
// PORT alone listens on every address, because who sets it puts a proxy or a container in front.
func (c *Config) readAddress(v *variables) {
	host, hosted := v.get("HOST")
	port, ported := v.get("PORT")
	if ported && !isPort(port) {
		v.p.add("PORT is %q; it must be a number from 0 to 65535", port)
		return
	}
	switch {
	case !hosted && ported:
		c.Listen = ":" + port
	case hosted && !strings.Contains(strings.TrimPrefix(host, "["), ":"):
		c.Listen = net.JoinHostPort(host, cmp.Or(port, defaultPort))
	case hosted:
		if _, p, err := net.SplitHostPort(host); err != nil || !isPort(p) {
			v.p.add("HOST is %q; it must be an address with a port, such as %s:%s or :%s", host, defaultHost, defaultPort, defaultPort)
		}
		c.Listen = host
	}
	c.readPublicURL(v)
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func (c *Config) readPublicURL(v *variables) {
	s, ok := v.get("PUBLIC_URL")
	if !ok {
		_, port, _ := net.SplitHostPort(c.Listen) // checked by readAddress
		c.PublicURL = "http://localhost:" + port
		return
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		v.p.add("PUBLIC_URL must be an address such as https://shop.example, without query and password")
	}
	c.PublicURL, c.PublicURLGiven = strings.TrimRight(s, "/"), true
}

func (c *Config) readDatabase(v *variables) {
	c.DatabaseURL, c.ListenURL = v.secret("DATABASE_URL"), v.secret("DATABASE_LISTEN_URL")
	if c.ListenURL != "" && c.DatabaseURL == "" {
		v.p.add("DATABASE_LISTEN_URL is the way past a pooler to the database of DATABASE_URL; give DATABASE_URL too, or unset it")
	}
	for name, secret := range map[string]Secret{"DATABASE_URL": c.DatabaseURL, "DATABASE_LISTEN_URL": c.ListenURL} {
		u, err := url.Parse(secret.Reveal())
		if secret != "" && (err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql")) {
			v.p.add("%s must look like postgres://user:password@host:5432/database?sslmode=require, with special characters of the password written as %%XX", name)
		}
	}
}

func (c *Config) readCORS(v *variables) {
	s, ok := v.env("CORS_HOST")
	if !ok {
		return
	}
	if c.CORSHost = strings.TrimSpace(s); strings.ContainsAny(c.CORSHost, "\r\n\x00") {
		v.p.add("CORS_HOST must be one line")
	}
}

func (c *Config) readTimeout(v *variables) {
	s, ok := v.get("RESPONSE_TIMEOUT")
	if !ok {
		return
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 3600 {
		v.p.add("RESPONSE_TIMEOUT is %q; it must be a whole number of seconds from 1 to 3600", s)
	}
	c.ResponseTimeout = time.Duration(n) * time.Second
}

func (c *Config) readProxies(v *variables) {
	list, _ := v.get("TRUSTED_PROXIES")
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if ip, single := netip.ParseAddr(s); single == nil {
			prefix, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil {
			v.p.add("TRUSTED_PROXIES: %q is neither an address nor a network such as 10.0.0.0/8", s)
			continue
		}
		c.TrustedProxies = append(c.TrustedProxies, prefix)
	}
}

func (c *Config) readLog(v *variables) {
	c.Log.readLevel(v)
	s, ok := v.get("LOG_FORMAT")
	if !ok {
		s, ok = v.get("LOG_FORMATTER") // Skygear's name
	}
	if !ok {
		return
	}
	if c.Log.Format = strings.ToLower(s); c.Log.Format != "text" && c.Log.Format != "json" {
		v.p.add("LOG_FORMAT is %q; it must be text or json", s)
	}
}

// readLevel also takes the other levels that Skygear knew.
func (l *Log) readLevel(v *variables) {
	s, ok := v.get("LOG_LEVEL")
	if !ok {
		return
	}
	name := strings.ToLower(s)
	switch name {
	case "warning":
		name = "warn"
	case "fatal", "panic":
		name = "error"
	}
	if l.Level.UnmarshalText([]byte(name)) != nil {
		v.p.add("LOG_LEVEL is %q; it must be debug, info, warn or error", s)
	}
}

// readUnused collects what somebody who brings an old .env would otherwise believe to be in force. What
// has no effect on the app, such as the kind of database, is not worth a line.
func (c *Config) readUnused(v *variables) {
	for _, name := range []string{
		"TOKEN_STORE", "TOKEN_STORE_PATH", "TOKEN_STORE_PREFIX", "TOKEN_STORE_SECRET",
		"USER_AUDIT_TRAIL_HANDLER_URL", "SENTRY_DSN", "CLOUD_ASSET_HOST", "ASSET_STORE_S3_URL_PREFIX",
	} {
		if _, ok := v.get(name); ok {
			c.Unused = append(c.Unused, name)
		}
	}
	var slave bool
	if v.boolean("SLAVE", &slave); slave {
		c.Unused = append(c.Unused, "SLAVE")
	}
}

func (o *Operator) read(v *variables) {
	o.Email, _ = v.get("OPERATOR_EMAIL")
	o.Password = v.secret("OPERATOR_PASSWORD")
	if (o.Email == "") != (o.Password == "") {
		v.p.add("OPERATOR_EMAIL and OPERATOR_PASSWORD belong together; give both, or neither")
	}
}

var pluginName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// readPlugins reads PLUGINS and what belongs to each. Only one of Skygear's three transports is kept.
func (c *Config) readPlugins(v *variables) {
	list, _ := v.get("PLUGINS")
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !pluginName.MatchString(name) {
			v.p.add("PLUGINS: %q is no name; a name is letters, digits and _, since variables such as NAME_PATH begin with it", name)
			continue
		}
		if slices.ContainsFunc(c.Plugins, func(p Plugin) bool { return p.Name == name }) {
			v.p.add("PLUGINS names %s twice", name)
			continue
		}
		c.readPlugin(v, name)
	}
}

func (c *Config) readPlugin(v *variables, name string) {
	transport, _ := v.get(name + "_TRANSPORT")
	path, _ := v.get(name + "_PATH")
	if strings.ToLower(transport) != "http" {
		v.p.add("%s_TRANSPORT is %q; only http is supported: start the plugin by itself (py-skygear --http --http-addr 127.0.0.1:8000, or skygear-node), "+
			"then set %s_TRANSPORT=http and %s_PATH=http://127.0.0.1:8000 (skygear-node: port 9000)", name, transport, name, name)
		return
	}
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		v.p.add("%s_PATH must be the address where the plugin listens, such as http://127.0.0.1:8000, without a password", name)
		return
	}
	c.Plugins = append(c.Plugins, Plugin{Name: name, URL: path})
}
