package wire

import "crypto/rand"

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewID returns the prefix and n random letters and digits.
func NewID(prefix string, n int) string {
	id := make([]byte, 0, len(prefix)+n)
	id = append(id, prefix...)
	var random [32]byte
	for len(id) < len(prefix)+n {
		_, _ = rand.Read(random[:]) // never fails
		for _, b := range random {
			// 248 is the largest multiple of 62: every letter is equally likely.
			if b < 248 && len(id) < len(prefix)+n {
				id = append(id, alphabet[b%62])
			}
		}
	}
	return string(id)
}
