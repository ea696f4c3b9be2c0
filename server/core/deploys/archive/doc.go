// Package archive reads the files of a version from what a client sends, and judges them.
//
// Way in: Read for a tar.gz, CheckPaths for a list of names, Secrets and Placeholders for contents.
//
// Invariants: what it hands on are regular files with names that stay inside their folder, within the limits of
// number and size whatever an archive claims. A link becomes a copy of the file that it leads to.
package archive
