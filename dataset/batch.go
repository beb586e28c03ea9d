package dataset

import (
	"fmt"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/resample"
)

// Batch is N examples of H x W pixels: NHWC, RGB, sRGB-encoded, in [-1, 1].
type Batch struct {
	HR      []float32 // the high-resolution crops
	X       []float32 // the conditions: reduced by the scale and enlarged again
	N, H, W int
	Lost    []degrade.Amount // what the low-resolution images have lost beside their size
}

// Which random number of an example's stream decides what.
const (
	drawRow = iota
	drawColumn
	drawFlip
	drawRotate
	drawRetry             // and following
	drawVersion = 1 << 10 // beyond all retries
)

// contextPixels is how many low-resolution pixels around a crop its condition is computed from. Two are what the
// enlargement reads beyond the crop, and two are what the reduction reads beyond those, so crops look like pieces of
// a whole image and have no border of their own.
const contextPixels = 4

// Batch makes the batch of a step, counted from 0. It is a function of the options and the step alone.
func (s *Set) Batch(step int) (*Batch, error) {
	o := &s.opt
	n := o.Size * o.Size * 3
	b := &Batch{HR: make([]float32, o.Batch*n), X: make([]float32, o.Batch*n), N: o.Batch, H: o.Size, W: o.Size}
	b.Lost = make([]degrade.Amount, o.Batch)
	for k := range o.Batch {
		q := uint64(step)*uint64(o.Batch) + uint64(k)
		var err error
		if b.Lost[k], err = s.example(b.HR[k*n:][:n], b.X[k*n:][:n], q); err != nil {
			return nil, fmt.Errorf("make example %d of step %d: %w", k, step, err)
		}
	}
	return b, nil
}

// example makes the q-th example of the run, and returns what its condition lost.
func (s *Set) example(hr, x []float32, q uint64) (lost degrade.Amount, err error) {
	random := philox.New(s.opt.Seed, streamExample|q)
	p, enlarged, err := s.pick(q, random)
	if err != nil {
		return lost, err
	}
	if enlarged.pix != nil {
		lost = enlarged.lost
		s.cutPair(hr, x, p, enlarged.pix, random)
	} else {
		lost = s.lost(q)
		err = s.cutCrop(hr, x, p, lost, q, random)
	}
	if err == nil && s.opt.Augment != nil {
		s.opt.Augment(x, s.opt.Size, philox.New(s.opt.Seed, streamAugment|q))
	}
	return lost, err
}

// cutCrop makes an example whose condition is computed from the crop and a little around it.
func (s *Set) cutCrop(hr, x []float32, p *photo, lost degrade.Amount, q uint64, random philox.Stream) error {
	size := s.opt.Size
	y := random.Intn(drawRow, p.height-size+1)
	column := random.Intn(drawColumn, p.width-size+1)
	piece, crop := p.around(window{y, column, size, size}, s.opt.Scale, around(lost))
	if s.opt.Flip && random.Intn(drawFlip, 2) == 1 {
		piece.mirror()
		crop.x = piece.width - crop.x - size
	}
	if s.opt.Rotate {
		for range random.Intn(drawRotate, 4) {
			piece, crop = piece.rotate(1), window{piece.width - crop.x - size, crop.y, size, size}
		}
	}
	toFloat(hr, piece.cut(crop).pix)
	return s.degrade(x, piece, crop, lost, q)
}

// cutPair makes an example of an image and a condition of the whole of it.
func (s *Set) cutPair(hr, x []float32, p *photo, enlarged []uint8, random philox.Stream) {
	size, k := s.opt.Size, s.opt.Scale
	row := random.Intn(drawRow, (p.height-size)/k+1) * k
	column := random.Intn(drawColumn, (p.width-size)/k+1) * k
	whole := &photo{height: p.height, width: p.width, pix: enlarged}
	mirrored := s.opt.Flip && random.Intn(drawFlip, 2) == 1
	quarters := 0
	if s.opt.Rotate {
		quarters = random.Intn(drawRotate, 4)
	}
	for _, part := range []struct {
		dst  []float32
		from *photo
	}{{hr, p}, {x, whole}} {
		crop := part.from.cut(window{row, column, size, size})
		if mirrored {
			crop.mirror()
		}
		toFloat(part.dst, crop.rotate(quarters).pix)
	}
}

// around cuts a crop with what surrounds it, context low-resolution pixels or as far as the image goes, in whole ones. It
// returns the piece and where the crop lies in it.
func (p *photo) around(crop window, scale, context int) (*photo, window) {
	before := func(at int) int { return min(context, at/scale) * scale }
	top, left := before(crop.y), before(crop.x)
	bottom := before(p.height - crop.y - crop.height)
	right := before(p.width - crop.x - crop.width)
	piece := p.cut(window{crop.y - top, crop.x - left, crop.height + top + bottom, crop.width + left + right})
	return piece, window{top, left, crop.height, crop.width}
}

// degrade writes to x the crop of the piece after reduction to 8 bits, with what is lost then, and enlargement.
func (s *Set) degrade(x []float32, piece *photo, crop window, lost degrade.Amount, q uint64) error {
	low, crop, err := s.low(piece, crop, lost, q)
	if err != nil {
		return err
	}
	h, w := low.height*s.opt.Scale, low.width*s.opt.Scale
	if s.opt.Quantise {
		big := &photo{height: h, width: w, pix: make([]uint8, h*w*3)}
		if err := resample.Resize8(big.pix, low.pix, h, w, low.height, low.width, 3, resample.Bicubic, 1); err != nil {
			return err
		}
		toFloat(x, big.cut(crop).pix)
		return nil
	}
	lowF, bigF := make([]float32, len(low.pix)), make([]float32, h*w*3)
	toFloat(lowF, low.pix)
	if err := resample.Resize(bigF, lowF, h, w, low.height, low.width, 3, resample.Bicubic, 1); err != nil {
		return err
	}
	for r := range crop.height {
		copy(x[r*crop.width*3:][:crop.width*3], bigF[((crop.y+r)*w+crop.x)*3:])
	}
	return nil
}

// toFloat maps 0..255 to [-1, 1].
func toFloat(dst []float32, src []uint8) {
	for i, v := range src {
		dst[i] = float32(v)/127.5 - 1
	}
}
