// Package cluster runs the private PostgreSQL: it finds the binaries, makes a cluster in the data
// folder, runs postgres as a child of this process and stops it in order.
//
// Way in: Start for the server, Attach for a tool beside a running server, FindBinaries.
//
// In the data folder: lock (held by flock for the life of the server), postgres/ (our marker,
// the loopback password, and the data directory), postgres.new-* (a cluster that was never finished).
//
// Role crema owns everything and is a superuser, since only a superuser may create extensions
// such as PostGIS. The cluster serves one app, so there is nobody else to protect it from inside.
//
// Who gets in: over the unix socket, which lies in the 0700 data directory, only the operating
// system user that runs the server, and root (peer, checked by the kernel; no password exists
// there). Over 127.0.0.1 only who has the password (scram). Nothing listens elsewhere.
//
// As root, postgres runs as the owner of the cluster: user postgres, else nobody.
//
// Invariants: a data directory that was ever live is never deleted. A folder that is not ours is
// never written to. A cluster appears under its name only when it is complete and on disk.
package cluster
