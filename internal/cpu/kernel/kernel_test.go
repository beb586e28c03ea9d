package kernel

import (
	"testing"
)

// forEachTier runs f once in every tier this machine has, with the table of
// that tier swapped in. Tests that use it must not run in parallel.
func forEachTier(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	before := active
	defer func() { active = before }()
	for tier := TierGo; tier <= detected; tier++ {
		active = tableFor(tier)
		if !t.Run(tier.String(), f) {
			return
		}
	}
}
