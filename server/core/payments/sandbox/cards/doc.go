// Package cards is the list of test cards and test tokens that Stripe publishes, with what happens when
// one of them is charged. It is pure. The numbers live only here: what is stored of a card is its last
// four digits, its fingerprint and its name in this list.
package cards
