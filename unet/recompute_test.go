package unet

import (
	"math"
	"testing"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
)

// TestRecomputationGivesTheSameBytes compares the gradients of every family, with
// dropout, by every parameter, and the memory that they take.
func TestRecomputationGivesTheSameBytes(t *testing.T) {
	concat, level := smallPaper(true), smallLean()
	concat.SkipScale = SkipScaleConcat
	level.Attention = []int{8}
	// Wide enough for fast convolutions, which take in more of what is around them.
	wide, widePaper := smallClassic(FamilyClassic), smallPaper(false)
	wide.Channels, wide.Multipliers = 32, []int{1, 1}
	widePaper.Channels, widePaper.Multipliers, widePaper.SkipScale = 32, []int{1, 1}, SkipScaleResidual
	for name, cfg := range map[string]Config{
		"classic": smallClassic(FamilyClassic), "ddpm": smallClassic(FamilyDDPM), "paper": smallPaper(false),
		"paper film concat": concat, "lean": smallLean(), "lean attention": level, "lean told": told(smallLean()), "wide classic": wide, "wide paper": widePaper,
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Dropout, cfg.Blocks = 0.2, 2
			side := 32 * max(cfg.Fold, 1) // wide enough for activations to outweigh the gradients
			net := newTestNet(t, cfg, 2, side, side, 2, randomWeights(t, cfg))
			loss, vars := trainingLoss(net, 1), variables(net.g)
			net.randomInputs()
			kept := compiled(t, net.g, net.m, net.g.Gradients(loss, vars))
			defer kept.Close()
			again := compiled(t, net.g, net.m, net.g.RecomputedGradients(loss, vars))
			defer again.Close()
			kept.Run()
			again.Run()
			for i, n := range vars {
				if !sameBits(kept.Output(i), again.Output(i)) {
					t.Errorf("the gradient of %s differs", n.Op.(*graph.Variable).Label)
				}
			}
			checkSmaller(t, again, kept)
		})
	}
}

// sameBits also holds that there is something to compare.
func sameBits(a, b []float32) bool {
	some := false
	for i, v := range a {
		if math.Float32bits(v) != math.Float32bits(b[i]) {
			return false
		}
		some = some || v != 0
	}
	return some
}

func checkSmaller(t *testing.T, again, kept *cpu.Program) {
	t.Helper()
	t.Logf("%d bytes against %d", again.MemoryBytes(), kept.MemoryBytes())
	if 10*again.MemoryBytes() > 8*kept.MemoryBytes() {
		t.Errorf("with recomputation %d bytes, without %d", again.MemoryBytes(), kept.MemoryBytes())
	}
}
