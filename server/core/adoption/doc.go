// Package adoption takes over databases that Skygear v1 left behind: the old tables stay as they are, and
// what this server needs beside them is added.
//
// Way in: Adopt at the start of a server, which finds out by itself whether there is anything to do;
// Import for a dump, which it puts into the app's schema first.
//
// Tables: reads all of the app's schema; writes through the migrations, and adds indexes to the record
// tables. It has no table of its own.
//
// Invariants: everything happens in one transaction, so a database that cannot be adopted, or a dump
// that cannot be read to its end, leaves no trace; no row that was there is changed; a layout that this
// server would not work on is refused with all its differences before anything is done; a schema with a
// history of migrations is never touched. Wire: skygear §3.3-3.5.
package adoption
