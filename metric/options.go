package metric

import "fmt"

// Options says what of two images is compared, and with how many threads. The
// zero value compares R, G and B of all pixels.
type Options struct {
	// Luma compares Y = 16 + (65.481 R + 128.553 G + 24.966 B)/255 of 8-bit
	// samples (ITU-R BT.601 in studio range, 16..235) instead of R, G and B.
	// Y is not rounded; the peak stays 255. So do most papers on
	// super-resolution.
	Luma bool
	// Crop is how many pixels are cut from every side before anything is
	// compared. Most papers cut as many as the scale.
	Crop int
	// Threads below 1 means one; results do not depend on it.
	Threads int
}

// plane gives one channel of an image row by row, in 0..255.
type plane interface {
	size() (height, width int)
	// row writes row r to dst, which has the width.
	row(dst []float64, r int)
}

// planes checks two images and returns the channels to compare.
func (o Options) planes(hr, sr Image) (x, y []plane, err error) {
	if err := o.check(hr, sr); err != nil {
		return nil, nil, err
	}
	if o.Luma {
		return []plane{luma{hr, o.Crop}}, []plane{luma{sr, o.Crop}}, nil
	}
	for c := range 3 {
		x, y = append(x, channel{hr, c, o.Crop}), append(y, channel{sr, c, o.Crop})
	}
	return x, y, nil
}

func (o Options) check(hr, sr Image) error {
	if err := checkPair(hr, sr); err != nil {
		return err
	}
	if o.Crop < 0 || o.Crop > (min(hr.Width, hr.Height)-1)/2 {
		return fmt.Errorf("cannot cut %d pixels from every side of images of %dx%d: from 0 to %d can be cut",
			o.Crop, hr.Width, hr.Height, (min(hr.Width, hr.Height)-1)/2)
	}
	return nil
}

// inner returns the samples of row r of an image without its border.
func (m Image) inner(r, crop int) []uint8 {
	row := m.Pix[3*m.Width*(r+crop) : 3*m.Width*(r+crop+1)]
	return row[3*crop : len(row)-3*crop]
}

// channel is R, G or B (0, 1 or 2) of an image without its border.
type channel struct {
	img     Image
	channel int
	crop    int
}

func (c channel) size() (height, width int) {
	return c.img.Height - 2*c.crop, c.img.Width - 2*c.crop
}

func (c channel) row(dst []float64, r int) {
	src := c.img.inner(r, c.crop)
	for i := range dst {
		dst[i] = float64(src[3*i+c.channel])
	}
}

// luma is Y of an image without its border.
type luma struct {
	img  Image
	crop int
}

func (l luma) size() (height, width int) {
	return l.img.Height - 2*l.crop, l.img.Width - 2*l.crop
}

func (l luma) row(dst []float64, r int) {
	src := l.img.inner(r, l.crop)
	for i := range dst {
		p := src[3*i : 3*i+3]
		dst[i] = 16 + (65.481*float64(p[0])+128.553*float64(p[1])+24.966*float64(p[2]))/255
	}
}
