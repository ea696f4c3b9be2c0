// Command bench measures the server beside bare handlers that do the same work with chi, lib/pq and
// net/http alone, and fails when a ratio is under its bar: go run ./server/e2e/bench
//
// It starts a durable PostgreSQL of its own, the server as it is built for production with its log in a
// file, and the bare handlers (the floor) in another process. One client drives both over loopback with
// keep-alive connections, in short rounds that alternate, so that both meet the same noise of the
// machine. A ratio is the median of the ratios of neighbouring rounds.
//
// Before anything is measured, both sides must give the same answer to the same request.
package main
