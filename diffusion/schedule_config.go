package diffusion

import (
	"fmt"
	"strings"
)

// Kinds of a ScheduleConfig. Each is frozen: the numbers a kind stands for never change; new ones get new names.
const (
	KindLinear   = "linear"   // LinearSchedule(Steps, Start, End)
	KindQuad     = "quad"     // QuadSchedule(Steps, Start, End)
	KindWarmup10 = "warmup10" // WarmupSchedule(Steps, Start, End, 0.1)
	KindWarmup50 = "warmup50" // WarmupSchedule(Steps, Start, End, 0.5)
	KindConst    = "const"    // ConstSchedule(Steps, End)
	KindJSD      = "jsd"      // JSDSchedule(Steps)
	KindCosine   = "cosine"   // CosineSchedule(Steps)
	KindLogSNR   = "logsnr"   // LogSNRSchedule(Steps, Start, End)
)

// Kinds returns the kinds of schedule that a ScheduleConfig can name.
func Kinds() []string {
	return []string{KindLinear, KindQuad, KindWarmup10, KindWarmup50, KindConst, KindJSD, KindCosine, KindLogSNR}
}

// ScheduleConfig names a noise schedule in configuration files and checkpoints.
type ScheduleConfig struct {
	// Kind is one of Kinds.
	Kind string `json:"kind" toml:"kind"`
	// Steps is T, 1..MaxSteps.
	Steps int `json:"steps" toml:"steps"`
	// Start and End are beta_1 and beta_T. Of "const" only End is used, of "jsd" and "cosine" neither. For "logsnr" they
	// are gamma_1 and gamma_T.
	Start float64 `json:"start,omitempty" toml:"start,omitempty"`
	End   float64 `json:"end,omitempty" toml:"end,omitempty"`
}

// TrainingSchedule returns the default for training: linear betas from 1e-6 to 1e-2 in the paper's 2000 steps.
func TrainingSchedule() ScheduleConfig {
	return ScheduleConfig{Kind: KindLinear, Steps: 2000, Start: 1e-6, End: 1e-2}
}

// Build computes the schedule, or says which setting is wrong.
func (c ScheduleConfig) Build() (NoiseSchedule, error) {
	s, err := c.build()
	if err != nil {
		return NoiseSchedule{}, fmt.Errorf("schedule %q: %w", c.Kind, err)
	}
	return s, nil
}

func (c ScheduleConfig) build() (NoiseSchedule, error) {
	switch c.Kind {
	case KindLinear:
		return LinearSchedule(c.Steps, c.Start, c.End)
	case KindQuad:
		return QuadSchedule(c.Steps, c.Start, c.End)
	case KindWarmup10:
		return WarmupSchedule(c.Steps, c.Start, c.End, 0.1)
	case KindWarmup50:
		return WarmupSchedule(c.Steps, c.Start, c.End, 0.5)
	case KindConst:
		return ConstSchedule(c.Steps, c.End)
	case KindJSD:
		return JSDSchedule(c.Steps)
	case KindCosine:
		return CosineSchedule(c.Steps)
	case KindLogSNR:
		return LogSNRSchedule(c.Steps, Gamma(c.Start), Gamma(c.End))
	}
	return NoiseSchedule{}, fmt.Errorf("no such kind; known are %s", strings.Join(Kinds(), ", "))
}
