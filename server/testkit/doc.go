// Package testkit gives tests real parts: a migrated PostgreSQL database of their own, and the path of
// the repository. Every test gets a copy of one template, so a database costs some 20 ms.
package testkit
