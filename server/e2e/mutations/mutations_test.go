package main

import (
	"os"
	"path/filepath"
	"testing"

	"crema/server/testkit"
)

// A sabotage whose text has changed tests nothing. `make mutations` runs them; here they must only apply.
func TestSabotages_StillApply(t *testing.T) {
	t.Parallel()
	all := sabotages()
	if len(all) != 8 {
		t.Errorf("%d sabotages", len(all))
	}
	for _, s := range all {
		for _, p := range s.patches {
			text, err := os.ReadFile(filepath.Join(testkit.Root(), p.file))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.apply(string(text)); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		}
	}
}
