// Package assets keeps files. Who holds a signed URL reads one; in a public store everybody does.
//
// Way in: Put announces a file and Receive takes its bytes; Open reads it, with ranges; Describe and
// Complete add content types and URLs to values that name assets; Start and Stop run the cleaner. The
// bytes are in a Store: package disk or package s3.
//
// Tables: _asset (one row a file), _asset_unused (objects of the store that no file has). Invariants:
// an object has a key that the server made, is written once and never changed; it is noted as unused
// before it is written and becomes a file's in one statement, so an upload is there as a whole or not at
// all, and what a dead server left is found and removed; a file that is there is replaced with the
// master key only. Wire: skygear §2.9, §3.10.
package assets
