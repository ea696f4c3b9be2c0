// Package checkout is the door of the shop's money side: what the page must know to sell
// (/payments/config.json), an order's page and receipt (/orders/), the shop's form for browsers without
// JavaScript (/orders/new), the provider's notices (/stripe/webhook), the popup script of old pages
// (/stripe/checkout.js), its card form and the sandbox's tokens and hosted pages (/_stripe/).
//
// Way in: New and Register. An order's link is the only key to it, so no cache keeps its page and no
// other site hears its address. In sandbox mode the popup and the card form are served; with real keys
// their script says that this way of paying is switched off.
package checkout
