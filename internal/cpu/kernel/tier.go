package kernel

import "os"

// Tier is a set of instructions the kernels are written for.
type Tier int

// The tiers, from the one that runs everywhere to the widest.
const (
	TierGo     Tier = iota // plain Go, every platform
	TierAVX2               // x86-64 with AVX2, FMA and F16C: 8 floats a vector
	TierAVX512             // x86-64 with AVX-512 F, VL, BW and DQ: 16 floats a vector
)

// EnvSIMD is the environment variable that masks tiers: "avx2" allows nothing
// above AVX2, "off" nothing above plain Go. It is read once at start.
const EnvSIMD = "SR3_SIMD"

// String is the short name of the tier: "go", "avx2" or "avx512".
func (t Tier) String() string {
	switch t {
	case TierAVX2:
		return "avx2"
	case TierAVX512:
		return "avx512"
	default:
		return "go"
	}
}

// Active is the tier in use: Detected, masked by SR3_SIMD.
func Active() Tier { return active.tier }

// Detected is the widest tier this machine and this build can run. Builds with
// the noasm tag, and platforms other than amd64, only have TierGo.
func Detected() Tier { return detected }

var (
	detected = detect()
	active   = tableFor(masked(detected, os.Getenv(EnvSIMD)))
)

// masked is the tier left of t under a value of SR3_SIMD. Unknown values mask
// nothing.
func masked(t Tier, env string) Tier {
	switch env {
	case "off":
		return TierGo
	case "avx2":
		return min(t, TierAVX2)
	default:
		return t
	}
}
