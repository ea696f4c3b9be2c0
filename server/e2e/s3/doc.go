// Package s3test runs the store of core/assets/s3, and the whole server with it, against a real
// S3-compatible server: Versity's gateway, a process of its own on a folder. It is a module of its own, so
// that the gateway's libraries stay out of the server's.
package s3test
