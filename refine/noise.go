package refine

import (
	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/internal/philox"
)

// InitialNoise is the step that a NoiseSource is asked for the start of the refinement, y_N.
const InitialNoise = -1

// NoiseSource is where a refinement gets its randomness.
type NoiseSource interface {
	// Noise fills dst with independent standard normal numbers: the start of the refinement for step InitialNoise, else
	// what step 0, 1, 2, ... of the run adds to the image. dst is as long as the image. Not every step is asked for: the
	// last adds no noise, and deterministic samplers ask for the start alone.
	Noise(dst []float32, step int)
}

// PositionalNoise is a NoiseSource that can make any part of the noise: on several threads, in little memory.
type PositionalNoise interface {
	NoiseSource
	// NoiseAt fills dst with elements offset, offset+1, ... of what Noise gives for the step. It may be called by several
	// goroutines at once.
	NoiseAt(dst []float32, step, offset int)
}

// Noise is the counter-based NoiseSource: element i of step k is a function of (seed, k, i), whatever the threads, the
// windows and the size of the image.
type Noise struct{ seed uint64 }

// NewNoise returns the noise source of a seed.
func NewNoise(seed uint64) Noise { return Noise{seed} }

// noiseStreams sets the streams of refinement apart from those that the same seed has for other ends. Its low 32 bits
// are zero and hold the step.
const noiseStreams = 0x7265666e << 32

// Noise fills dst with the noise of a step.
func (n Noise) Noise(dst []float32, step int) { n.NoiseAt(dst, step, 0) }

// NoiseAt fills dst with elements offset, offset+1, ... of the noise of a step.
func (n Noise) NoiseAt(dst []float32, step, offset int) {
	philox.New(n.seed, noiseStreams|uint64(uint32(step))).Normal(dst, uint64(offset))
}

// fillNoise sets dst, of the image's size, to the noise of a step.
func (r *refinement) fillNoise(dst []float32, step int) {
	positional, ok := r.Noise.(PositionalNoise)
	if !ok {
		r.Noise.Noise(dst, step)
		return
	}
	parallel.Chunks(r.Threads, len(dst), chunk, func(lo, hi int) {
		positional.NoiseAt(dst[lo:hi], step, lo)
	})
}

// scale multiplies y by a factor, unless it is 1.
func (r *refinement) scale(y []float32, factor float64) {
	if factor != 1 {
		mix(r.Threads, y, term{factor, y})
	}
}

// addNoise adds sigma times the noise of step k, scaled by the temperature, to the image.
func (r *refinement) addNoise(sigma float64, k int) {
	sigma *= r.Temperature
	if sigma == 0 {
		return
	}
	positional, ok := r.Noise.(PositionalNoise)
	if !ok {
		if r.noise == nil {
			r.noise = r.buffer()
		}
		r.Noise.Noise(r.noise, k)
		mix(r.Threads, r.y, term{1, r.y}, term{sigma, r.noise})
		return
	}
	parallel.Chunks(r.Threads, len(r.y), chunk, func(lo, hi int) {
		var z [noiseBlock]float32
		for ; lo < hi; lo += noiseBlock {
			part := r.y[lo:min(lo+noiseBlock, hi)]
			positional.NoiseAt(z[:len(part)], k, lo)
			mix2(part, 1, part, float32(sigma), z[:len(part)])
		}
	})
}

// noiseBlock is how much noise is made at once where it is added, a multiple of the generator's block of 4.
const noiseBlock = 1024
