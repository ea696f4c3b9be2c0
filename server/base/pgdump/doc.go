// Package pgdump reads what pg_dump writes: Open makes one script of any of its formats, and Reader parts
// that into sections, each of which says what it is about.
//
// It executes nothing of a script. Commands of psql, which could start programs, are dropped, and so is
// what only fits the machine that a dump comes from: owners, tablespaces and settings. A dump that was
// cut off is an error in every format, never a shorter dump.
package pgdump
