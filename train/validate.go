package train

import (
	"context"
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/metric"
)

// validation is what the validation examples, which are the same every time, say about the averaged weights.
type validation struct {
	loss float64 // mean
	psnr float64 // of a regression: mean over examples of the image's PSNR in dB, on 8 bits; else 0
}

// score is what the best weights have least of: the validation loss or, for a regression, the negative PSNR (the paper
// chooses its baseline by the PSNR on held-out images, section 4).
func (v validation) score(cfg Config) float64 {
	if cfg.regression() {
		return -v.psnr
	}
	return v.loss
}

// why says what a model was chosen by.
func (v validation) why(cfg Config) string {
	n, size := cfg.valBatches()*cfg.microBatch(), cfg.Data.Crop
	if cfg.regression() {
		return fmt.Sprintf("Chosen by the highest PSNR so far on held-out images: %.2f dB, mean of %d crops of %dx%d pixels.", v.psnr, n, size, size)
	}
	return fmt.Sprintf("Chosen by the lowest loss so far on held-out images: %.4g, mean of %d crops of %dx%d pixels.", v.loss, n, size, size)
}

// valBatches is the number of micro-batches of validation.
func (c Config) valBatches() int { return (c.Train.ValExamples-1)/c.microBatch() + 1 }

// validate measures the loss of the validation examples, and what a regression makes of them.
func (s *sampler) validate(ctx context.Context) (validation, error) {
	var v validation
	if err := s.compileValidation(); err != nil {
		return v, err
	}
	batches := s.cfg.valBatches()
	for k := range batches {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		e, err := s.val.examples(k)
		if err != nil {
			return v, err
		}
		fill(s.loss, e, 0, e.N, 0)
		s.loss.Run()
		v.loss += float64(s.loss.Output(0)[0])
		if !s.cfg.regression() {
			continue
		}
		psnr, err := s.cfg.meanPSNR(e, s.loss.Output(1))
		if err != nil {
			return v, err
		}
		v.psnr += psnr
	}
	return validation{v.loss / float64(batches), v.psnr / float64(batches)}, nil
}

// compileValidation builds the loss of a micro-batch, once.
func (s *sampler) compileValidation() error {
	if s.loss != nil {
		return nil
	}
	g := graph.New()
	l, err := buildLoss(g, s.cfg, s.cfg.microBatch(), s.cfg.Data.Crop, false)
	if err != nil {
		return err
	}
	s.loss, err = cpu.Compile(g, s.vars, []*graph.Node{l.loss, l.prediction}, cpu.Options{Threads: s.cfg.Train.Threads})
	return err
}

// largestPSNR bounds that of a crop, in dB: one that is met to the last bit, such as an even white, has an infinite one,
// and the mean must say something about the others.
const largestPSNR = 100

// meanPSNR is the mean PSNR of the images that predictions y0 stand for.
func (c Config) meanPSNR(e *examples, y0 []float32) (float64, error) {
	y := append([]float32(nil), y0...)
	c.image(y, e.Batch)
	n := e.H * e.W * 3
	as8 := func(v []float32) metric.Image { return metric.Image{Height: e.H, Width: e.W, Pix: toBytes(v)} }
	var sum float64
	for i := range e.N {
		psnr, err := metric.PSNR(as8(e.HR[i*n:][:n]), as8(y[i*n:][:n]))
		if err != nil {
			return 0, err
		}
		sum += min(psnr, largestPSNR)
	}
	return sum / float64(e.N), nil
}
