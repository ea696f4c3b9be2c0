// Package render writes what a handler returned as Stripe would show it to this caller: ids expanded to
// objects as asked, lists and words as the caller's API version has them. Objects are stored in the shape
// of version 2023-10-16; what older and newer versions change is here and nowhere else.
package render
