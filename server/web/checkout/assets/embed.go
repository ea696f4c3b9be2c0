// Package assets holds the browser side of the sandbox: the popup script and the card form in its iframe.
//
// checkout.js goes out as /stripe/checkout.js and /_stripe/checkout.js, with CORS for any origin;
// frame.html as /_stripe/checkout/frame, under the CSP in FramePolicy; frame.js and frame.css below it.
// frame.js posts the card to /_stripe/v1/tokens of its own origin.
package assets

import "embed"

// FS holds checkout.js, frame.html, frame.js and frame.css at its root.
//
//go:embed checkout.js frame.html frame.js frame.css
var FS embed.FS

// FramePolicy is the Content-Security-Policy of frame.html. The form works under it: no inline script or style, no other
// origin. A merchant's logo from another origin is not fetched; the form then shows an initial.
const FramePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors *"
