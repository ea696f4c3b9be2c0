// Package web is the HTTP kernel that every door uses: handlers that return errors, the table from
// fault to wire error and status, credentials, limits, and the middleware stack. It holds no SQL.
//
// Way in: Handler for one route, Gate for who asks, WriteError for what went wrong.
package web
