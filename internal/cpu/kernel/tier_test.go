package kernel

import (
	"os"
	"testing"
)

func TestMasked(t *testing.T) {
	for _, c := range []struct {
		tier Tier
		env  string
		want Tier
	}{
		{TierAVX512, "", TierAVX512},
		{TierAVX512, "avx2", TierAVX2},
		{TierAVX512, "off", TierGo},
		{TierAVX512, "unknown", TierAVX512},
		{TierAVX2, "avx2", TierAVX2},
		{TierAVX2, "off", TierGo},
		{TierGo, "avx2", TierGo},
	} {
		if got := masked(c.tier, c.env); got != c.want {
			t.Errorf("%v under %q: got %v, want %v", c.tier, c.env, got, c.want)
		}
	}
}

func TestActive(t *testing.T) {
	if want := masked(Detected(), os.Getenv(EnvSIMD)); Active() != want {
		t.Errorf("active tier %v, want %v", Active(), want)
	}
	sizes := map[Tier][2]int{TierGo: {4, 8}, TierAVX2: {6, 16}, TierAVX512: {14, 32}}
	if want := sizes[Active()]; MR() != want[0] || NR() != want[1] {
		t.Errorf("tier %v: tile of %dx%d, want %v", Active(), MR(), NR(), want)
	}
}

func TestTierString(t *testing.T) {
	for tier, want := range map[Tier]string{TierGo: "go", TierAVX2: "avx2", TierAVX512: "avx512"} {
		if got := tier.String(); got != want {
			t.Errorf("tier %d is %q, want %q", int(tier), got, want)
		}
	}
}
