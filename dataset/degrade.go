package dataset

import (
	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/resample"
)

// jpegBlock is the side of the blocks that JPEG compression with colour at half resolution works on.
const jpegBlock = 16

// Which random number of an example's stream of phases decides what.
const (
	drawPhaseRow = iota
	drawPhaseColumn
)

// lost draws what the low-resolution image of example q loses.
func (s *Set) lost(q uint64) degrade.Amount {
	return s.opt.Degrade.Draw(philox.New(s.opt.Seed, streamDegrade|q))
}

// around is how many low-resolution pixels around a crop its condition is computed from, when so much is lost: what a
// blur reads too, and room for the blocks of a JPEG file to begin anywhere.
func around(lost degrade.Amount) int {
	n := contextPixels + degrade.Reach(lost.Blur)
	if lost.Quality > 0 {
		n += jpegBlock - 1
	}
	return n
}

// low reduces a piece to the low-resolution image of example q, in 8 bits, and takes from it what is lost. The crop may
// come back as part of a smaller piece.
func (s *Set) low(piece *photo, crop window, lost degrade.Amount, q uint64) (*photo, window, error) {
	low := &photo{height: piece.height / s.opt.Scale, width: piece.width / s.opt.Scale}
	low.pix = make([]uint8, low.height*low.width*3)
	if lost.Blur == 0 && lost.Noise == 0 {
		err := resample.Resize8(low.pix, piece.pix, low.height, low.width, piece.height, piece.width, 3, resample.Bicubic, 1)
		if err != nil || lost.Quality == 0 {
			return low, crop, err
		}
	} else if err := s.sensor(low, piece, lost, q); err != nil {
		return nil, crop, err
	}
	if lost.Quality > 0 {
		var err error
		if low, crop, err = s.compress(low, crop, lost.Quality, q); err != nil {
			return nil, crop, err
		}
	}
	low, crop = low.trim(crop, s.opt.Scale)
	return low, crop, nil
}

// sensor writes to low the piece reduced, blurred and with noise, rounded to 8 bits only then.
func (s *Set) sensor(low, piece *photo, lost degrade.Amount, q uint64) error {
	large, small := make([]float32, len(piece.pix)), make([]float32, len(low.pix))
	toFloat(large, piece.pix)
	if err := resample.Resize(small, large, low.height, low.width, piece.height, piece.width, 3, resample.Bicubic, 1); err != nil {
		return err
	}
	degrade.Blur(small, low.height, low.width, 3, lost.Blur)
	degrade.AddNoise(small, lost.Noise, philox.New(s.opt.Seed, streamSensor|q))
	for i, v := range small {
		low.pix[i] = uint8(min(max(v+1, 0)*127.5+0.5, 255))
	}
	return nil
}

// compress compresses low. Its blocks begin anywhere against the crop, as far as there is room above and left of it: a
// crop at the border of its photo has them begin there, as in a file.
func (s *Set) compress(low *photo, crop window, quality int, q uint64) (*photo, window, error) {
	random := philox.New(s.opt.Seed, streamPhase|q)
	phase := func(draw uint64, before int) int {
		return min(random.Intn(draw, jpegBlock), max(before/s.opt.Scale-contextPixels, 0))
	}
	top, left := phase(drawPhaseRow, crop.y), phase(drawPhaseColumn, crop.x)
	low = low.cut(window{top, left, low.height - top, low.width - left})
	crop.y, crop.x = crop.y-top*s.opt.Scale, crop.x-left*s.opt.Scale
	pix, err := degrade.JPEG(low.pix, low.height, low.width, quality)
	if err != nil {
		return nil, crop, err
	}
	return &photo{height: low.height, width: low.width, pix: pix}, crop, nil
}

// trim leaves contextPixels of a low-resolution image around the crop, which is in pixels of the large one.
func (p *photo) trim(crop window, scale int) (*photo, window) {
	top, left := max(crop.y/scale-contextPixels, 0), max(crop.x/scale-contextPixels, 0)
	bottom := min((crop.y+crop.height)/scale+contextPixels, p.height)
	right := min((crop.x+crop.width)/scale+contextPixels, p.width)
	crop.y, crop.x = crop.y-top*scale, crop.x-left*scale
	return p.cut(window{top, left, bottom - top, right - left}), crop
}
