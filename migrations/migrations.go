// Package migrations embeds the SQL files of this folder: the system tables first, then what this app
// puts into them. They are in goose format; "app." stands for the app's schema.
package migrations

import "embed"

// Files holds the migrations.
//
//go:embed *.sql
var Files embed.FS
