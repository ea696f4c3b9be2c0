// Package cli is the command line: one file a command. Every command reads its configuration from
// app.json, .env and the environment, and from nothing else.
//
// Exit codes: 0 done or stopped on request, 1 an error while running, 2 wrong usage, 3 wrong
// configuration, 4 the database cannot be used. psql passes on psql's own.
package cli
