package config

import (
	"fmt"
	"slices"
	"strings"

	"crema/server/base/fault"
)

// problems gathers everything that is wrong, so that a start tells it all at once.
type problems struct{ list []string }

func (p *problems) add(format string, args ...any) {
	p.list = append(p.list, fmt.Sprintf(format, args...))
}

// err is nil when nothing is wrong.
func (p *problems) err() error {
	switch len(p.list) {
	case 0:
		return nil
	case 1:
		return fault.New(fault.NotConfigured, "config.invalid", "the configuration is wrong: %s", p.list[0]).With("problems", p.list)
	}
	return fault.New(fault.NotConfigured, "config.invalid", "the configuration is wrong in %d places:\n  - %s",
		len(p.list), strings.Join(p.list, "\n  - ")).With("problems", p.list)
}

// nearest returns the candidate that given was probably meant to be, "" for none.
func nearest(given string, candidates []string) string {
	best, found := 1+len(given)/3, ""
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(strings.ToLower(given), c); d <= best && (found == "" || d < best) {
			best, found = d, c
		}
	}
	return found
}

// distance counts the letters to insert, delete, change or swap with their neighbour.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		last := slices.Clone(row)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before = last
	}
	return row[len(b)]
}
