// Package clients runs real client libraries, from npm and for Python, against our sandbox and our server, and
// compares the sandbox with another double of Stripe. package-lock.json and requirements-*.txt pin them;
// `.ci/needs.sh test` makes them ready. What is missing is skipped, except where CI is set.
//
// The folder skygear has the cases that Skygear's clients must pass: the one from npm and ours.
package clients
