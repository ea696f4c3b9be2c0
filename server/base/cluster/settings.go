package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// hba is the whole of pg_hba.conf: the first line is the socket, the second the loopback port.
const hba = `# Written by the server when it made this cluster.
local all all peer map=crema
host  all all 127.0.0.1/32 scram-sha-256
`

// tuning is appended to initdb's postgresql.conf once; an operator may change it there or with
// ALTER SYSTEM. What must not change stands on the command line (settings).
const tuning = `
# Written by the server when it made this cluster. Change what you like; the server itself fixes
# the addresses, the log and everything that makes a commit durable.
shared_buffers = 128MB
max_connections = 200
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
jit = off
`

// configure writes the settings that live in the cluster.
func (d draft) configure() error {
	f, err := os.OpenFile(filepath.Join(d.data(), "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(tuning)
	return errors.Join(err, f.Close(),
		writeSynced(filepath.Join(d.data(), "pg_hba.conf"), hba, d.owner, d.fast))
}

// settings returns postgres's arguments. They win over postgresql.conf and ALTER SYSTEM.
//
// The log keeps server events only: statements that fail are their caller's matter, and their text
// may hold what must not be in a log.
func (c *Cluster) settings(cfg Config) []string {
	durable := "on"
	if cfg.Fast {
		durable = "off"
	}
	sockets := "." // relative to the data directory
	if !c.socketFits() {
		sockets = ""
	}
	pairs := []string{
		"port=" + strconv.Itoa(c.port),
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=" + sockets,
		"unix_socket_permissions=0700",
		"fsync=" + durable,
		"full_page_writes=" + durable,
		"synchronous_commit=" + durable,
		"log_destination=stderr",
		"logging_collector=off",
		"log_line_prefix=",
		"log_min_messages=log",
		"log_min_error_statement=panic",
		"log_error_verbosity=terse",
		"log_checkpoints=off",
		"log_statement=none",
	}
	if cfg.Fast {
		pairs = append(pairs, "wal_level=minimal", "max_wal_senders=0", "max_connections=300", "autovacuum_naptime=1h")
	}
	args := make([]string, 0, 2*len(pairs))
	for _, p := range pairs {
		args = append(args, "-c", p)
	}
	return args
}

// writeIdent says which operating system users may use the socket: the one that runs the server, and
// root. It is written at each start, because the server may have moved to another user.
func (c *Cluster) writeIdent(owner *account) error {
	u, err := user.Current()
	if err != nil {
		return fmt.Errorf("who runs this server: %w", err)
	}
	names := []string{u.Username}
	if u.Username != "root" {
		names = append(names, "root")
	}
	var b strings.Builder
	b.WriteString("# Written by the server at each start: map, operating system user, role.\n")
	for _, name := range names {
		fmt.Fprintf(&b, "crema %s %s\n", quoteIdent(name), Role)
	}
	path := filepath.Join(c.data(), "pg_ident.conf")
	if old, err := os.ReadFile(path); err == nil && string(old) == b.String() {
		return nil
	}
	if err := writeSynced(path, b.String(), owner, true); err != nil {
		return folderFault(err, path)
	}
	return nil
}

// quoteIdent keeps a user name with spaces or a leading slash (a pattern there) one plain word.
func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
