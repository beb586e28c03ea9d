package train

import (
	"slices"
	"strings"
	"testing"
)

// TestChangedSettings: changes are told with their section, a value that another key has too hides none, and keys that an
// older program did not know are no change.
func TestChangedSettings(t *testing.T) {
	text := func(sets ...string) string {
		s, err := tinyConfig(t, append([]string{"augment.blur.probability=0.5", "augment.blur.high=1.2"}, sets...)...).TOML()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := text("train.steps=1000")
	older := strings.Replace(strings.Replace(before, "momentum = 0.95\n", "", 1), "optimizer = \"adam\"\n", "", 1)
	if older == before {
		t.Fatal("the text has other keys than this test takes away")
	}
	for _, c := range []struct {
		name, before, now string
		want              []string
	}{
		{"the same", before, before, nil},
		{"steps as the schedule has", before, text("train.steps=2000"), []string{"train.steps = 2000"}},
		{"noise like blur", before, text("train.steps=1000", "augment.noise.probability=0.5", "augment.noise.high=1.2"),
			[]string{"augment.noise.probability = 0.5", "augment.noise.high = 1.2"}},
		{"keys of today", older, before, nil},
		{"keys of today, one changed", older, text("train.steps=1000", "train.momentum=0.9"), []string{"train.momentum = 0.9"}},
		{"not TOML", "=", "[a]\nb = 1\n", []string{"a.b = 1"}},
	} {
		if got := changedSettings(c.before, c.now); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
