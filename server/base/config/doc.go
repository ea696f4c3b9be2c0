// Package config reads app.json, .env and the environment once and returns one validated value. Every
// fault is reported together, with the name of the variable or key and what to do. Secrets print as
// [redacted].
//
// Way in: Open for a folder on disk, Load for values in hand.
package config
