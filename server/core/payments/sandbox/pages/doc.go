// Package pages draws the sandbox's hosted pages: the checkout of a session, the page of the bank (3-D
// Secure) and notices. Everything is rendered on the server and works without JavaScript; there is none.
//
// Way in: the views, which are plain texts ready to be shown, and Write. Card numbers are never echoed.
package pages
