// Package sdk holds the JavaScript client that the server hands out under /sdk/.
//
// skygear.js serves classic scripts (global skygear), skygear.mjs is the same client as an ES module.
// Serve both as text/javascript. They are plain source: no build step makes them.
package sdk

import "embed"

// FS holds skygear.js and skygear.mjs at its root.
//
//go:embed skygear.js skygear.mjs
var FS embed.FS
