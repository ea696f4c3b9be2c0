// Package handlers is the door to HTTP handlers: functions that answer requests at paths of their own, with
// the status, headers and body that they like.
//
// Credentials come in headers or in the query, never from the body, which belongs to the function. Errors of a
// function are the error object of all doors. Wire: skygear §4.6.
package handlers
