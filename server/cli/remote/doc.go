// Package remote talks to the door of operators on a server, on this machine or another one, and finds the files that
// a deploy sends.
//
// Way in: Client, Find.
package remote
