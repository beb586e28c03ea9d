package metric

import (
	"fmt"
	"math"
)

const (
	textureBands  = 4  // at most; an image has as many as leave textureSide pixels
	textureSide   = 16 // least side of a band
	texturePatch  = 4  // side of a patch
	textureFloor  = 0.01
	textureColour = 0.1
)

// Texture is what of an image an [EnergyScore] compares: local structure at several scales, in three parts.
//
//   - Coefficients: the bands of a Laplacian pyramid (Burt and Adelson 1983), of R, G and B, each pixel divided by
//     0.01 (1.3 grey levels of 255) plus the local amplitude of its band, as in the normalized Laplacian pyramid of
//     Laparra, Balle, Berardino and Simoncelli 2016. So grain in a sky counts as much as an edge in foliage.
//   - Amplitudes: the logarithm of those local amplitudes, which is how much texture there is.
//   - Colours: the low-pass image that remains, divided by 0.1.
//
// The constants are ours, chosen for photographs and fitted to nothing. No network is involved.
type Texture struct {
	height, width int
	parts         []patches
}

// patches are vectors that are compared one by one.
type patches struct {
	dims   int
	values []float32
}

// NewTexture analyses an image of at least 16x16 pixels. Up to three rows and columns at the right and bottom of each
// scale are left out, where they make no whole patch of 4x4.
func NewTexture(img FloatImage) (*Texture, error) {
	if err := img.check("texture of an"); err != nil {
		return nil, fmt.Errorf("metric: %w", err)
	}
	if min(img.Height, img.Width) < textureSide {
		return nil, fmt.Errorf("metric: texture: %dx%d pixels; both sides must have at least %d", img.Width, img.Height, textureSide)
	}
	t := &Texture{height: img.Height, width: img.Width}
	level := raster{img.Height, img.Width, img.Pix}
	for range textureBands {
		if min(level.height, level.width) < textureSide {
			break
		}
		low := level.reduce()
		t.addBand(level.minus(low.expand(level.height, level.width)))
		level = low
	}
	t.parts = append(t.parts, level.patches(1/textureColour))
	return t, nil
}

// addBand appends the coefficients and the amplitudes of a band.
func (t *Texture) addBand(band raster) {
	energy := raster{band.height, band.width, make([]float32, len(band.pix))}
	for i, v := range band.pix {
		energy.pix[i] = v * v
	}
	energy = energy.blur().blur()
	amplitude := raster{band.height, band.width, make([]float32, len(band.pix))}
	for i := 0; i < len(band.pix); i += 3 {
		e := energy.pix[i : i+3]
		gain := 1 / (textureFloor + sqrt32((e[0]+e[1]+e[2])/3))
		for c, v := range e {
			band.pix[i+c] *= gain
			amplitude.pix[i+c] = float32(math.Log(textureFloor + math.Sqrt(float64(v))))
		}
	}
	t.parts = append(t.parts, band.patches(1), amplitude.patchMeans())
}

func sqrt32(v float32) float32 { return float32(math.Sqrt(float64(v))) }

// Distance is the mean over the parts of the mean over their patches of the Euclidean norm of the difference, divided by
// the root of the number of dimensions. It is a metric but for images with the same features. Both images must have one
// size.
func (t *Texture) Distance(u *Texture) (float64, error) {
	if t.height != u.height || t.width != u.width {
		return 0, fmt.Errorf("metric: textures of %dx%d and %dx%d pixels: they must be of one size", t.width, t.height, u.width, u.height)
	}
	var sum float64
	for i, p := range t.parts {
		sum += p.distance(u.parts[i])
	}
	return sum / float64(len(t.parts)), nil
}

func (p patches) distance(q patches) float64 {
	var sum float64
	for at := 0; at < len(p.values); at += p.dims {
		var squares float32
		for i, v := range p.values[at : at+p.dims] {
			d := v - q.values[at+i]
			squares += d * d
		}
		sum += math.Sqrt(float64(squares) / float64(p.dims))
	}
	return sum * float64(p.dims) / float64(len(p.values))
}

// raster is rows of RGB pixels.
type raster struct {
	height, width int
	pix           []float32
}

// binomial are the weights of the pyramid's filter.
var binomial = [5]float32{1. / 16, 4. / 16, 6. / 16, 4. / 16, 1. / 16}

// mirror continues an axis of n pixels by reflection, without repeating the outermost.
func mirror(i, n int) int {
	if i < 0 {
		i = -i
	}
	if i >= n {
		i = 2*(n-1) - i
	}
	return i
}

// blur filters with the binomial weights along both axes.
func (r raster) blur() raster { return r.filter(1) }

// reduce is every second pixel of the blurred image, in both directions.
func (r raster) reduce() raster { return r.filter(2) }

// filter blurs and keeps every stride-th pixel.
func (r raster) filter(stride int) raster {
	height, width := (r.height+stride-1)/stride, (r.width+stride-1)/stride
	columns := make([][len(binomial)]int, width) // where the weights of each fall
	for x := range columns {
		for k := range binomial {
			columns[x][k] = 3 * mirror(x*stride+k-2, r.width)
		}
	}
	rows := make([]float32, r.height*width*3)
	for y := range r.height {
		row, out := r.pix[y*r.width*3:][:r.width*3], rows[y*width*3:][:width*3]
		for x, at := range columns {
			for c := range 3 {
				out[3*x+c] = (row[at[0]+c]+row[at[4]+c])*binomial[0] + (row[at[1]+c]+row[at[3]+c])*binomial[1] + row[at[2]+c]*binomial[2]
			}
		}
	}
	out := raster{height, width, make([]float32, height*width*3)}
	for y := range height {
		to := out.pix[y*width*3:][:width*3]
		for k, w := range binomial {
			for i, v := range rows[mirror(y*stride+k-2, r.height)*width*3:][:width*3] {
				to[i] += w * v
			}
		}
	}
	return out
}

// expand is the inverse of reduce in size: between the pixels lie zeros, blurred, times 4.
func (r raster) expand(height, width int) raster {
	sparse := raster{height, width, make([]float32, height*width*3)}
	for y := range r.height {
		for x := range r.width {
			for c := range 3 {
				sparse.pix[(2*y*width+2*x)*3+c] = 4 * r.pix[(y*r.width+x)*3+c]
			}
		}
	}
	return sparse.blur()
}

// minus is the difference, in memory of its own.
func (r raster) minus(o raster) raster {
	d := raster{r.height, r.width, make([]float32, len(r.pix))}
	for i, v := range r.pix {
		d.pix[i] = v - o.pix[i]
	}
	return d
}

// patches cuts the raster into vectors of 4x4 pixels, times a factor.
func (r raster) patches(factor float32) patches {
	p := patches{dims: texturePatch * texturePatch * 3}
	for y := 0; y+texturePatch <= r.height; y += texturePatch {
		for x := 0; x+texturePatch <= r.width; x += texturePatch {
			for dy := range texturePatch {
				for _, v := range r.pix[((y+dy)*r.width+x)*3:][:texturePatch*3] {
					p.values = append(p.values, factor*v)
				}
			}
		}
	}
	return p
}

// patchMeans is the mean colour of each patch of 4x4 pixels.
func (r raster) patchMeans() patches {
	whole := r.patches(1. / (texturePatch * texturePatch))
	p := patches{dims: 3, values: make([]float32, len(whole.values)/whole.dims*3)}
	for i, v := range whole.values {
		p.values[i/whole.dims*3+i%3] += v
	}
	return p
}
