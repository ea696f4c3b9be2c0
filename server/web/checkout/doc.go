// Package checkout is the door of the shop's money side: what the page must know to sell
// (/payments/config.json), the popup script of old pages (/stripe/checkout.js), its card form and the
// sandbox's tokens (/_stripe/).
//
// Way in: New and Register. In sandbox mode the popup and the card form are served; with real keys their
// script says that this way of paying is switched off.
package checkout
