// Package app is the only wiring: it opens the database and the rooms, hangs the doors on them, and
// starts and stops everything in order. It decides nothing else.
package app
