// Package doortest holds the cases that every door to functions must judge alike: who asks, for which
// kind of function, and what the answer is. A door's test makes a server from New and calls Run.
package doortest
