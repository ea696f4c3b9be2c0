// Command chaos proves that no payment is doubled and none is lost: go run ./server/e2e/chaos
//
// It starts a durable PostgreSQL, the sandbox in a process of its own and the real server. Shoppers buy,
// double-click, open two tabs, close them, use bad cards, go through the hosted checkout and 3-D Secure,
// and get refunds. Meanwhile the server is killed with SIGKILL at every failpoint and at random moments,
// PostgreSQL is killed and restarted, its connections are cut, and the sandbox loses replies, answers
// with errors, delays, and repeats and reorders its webhooks. What each shopper asked and heard is
// written down as in Jepsen's histories: invoke, then ok, fail (for good) or info (not known).
//
// Then the faults stop, everything that is open must settle, and the invariants I1 to I8 (check.go) are
// checked against the sandbox's journal and the database. A violation prints its order's history.
//
// The seed decides what the shoppers do, and which faults and kills come in which order. Their timing
// against each other is the machine's.
package main
