// Package e2e tests the built binary as its users use it: processes, signals, psql, HTTP.
package e2e
