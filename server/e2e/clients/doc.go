// Package clients runs real client libraries, from npm and for Python, against our sandbox, and compares the
// sandbox with another double of Stripe. package-lock.json and requirements-*.txt pin them; `.ci/needs.sh test`
// makes them ready. What is missing is skipped, except where CI is set.
package clients
