// Package load plays an hour of mixed traffic in a minute against a server with the race detector, and
// looks whether anything is left of it afterwards.
package load
