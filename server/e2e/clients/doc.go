// Package clients runs real client libraries from npm against our servers. package-lock.json pins them;
// `npm ci` here makes them ready. Without them the tests are skipped, except where CI is set.
package clients
