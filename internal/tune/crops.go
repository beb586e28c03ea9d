// Package tune scores a model's settings for sampling on held-out images: crops of true images are reduced as the paper
// reduces them, enlarged again twice with different noise, and judged by the energy score of package metric. Noise is
// the same for all settings (common random numbers), so that small differences can be told from chance. No network but
// the model's is involved.
package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/resample"
)

// Data says which crops are taken.
type Data struct {
	// Dir is the folder of held-out images.
	Dir string
	// Crops is how many squares are cut for the search, and how many for the check after it: each from another image, as
	// far as there are enough, and at a random place.
	Crops int
	// Side is that of a square, a multiple of Scale. Smaller images are left out.
	Side int
	// Scale is how many times smaller the inputs are.
	Scale int
	// Seed chooses images and places.
	Seed uint64
}

// Crop is a square of a true image with its input.
type Crop struct {
	Name  string
	truth metric.Image
	lr    *imageio.Image
	// texture of the truth.
	texture *metric.Texture
}

// Streams of random numbers under the seed of Data.
const (
	orderStream = 0x74756e65<<8 + iota
	placeStream
)

// maxCrops bounds Data.Crops.
const maxCrops = 4096

// Load cuts the crops for a search and those for the check of what it found. Where the folder has enough images the two
// have none in common.
func (d Data) Load(threads int) (search, check []Crop, err error) {
	if err := d.validate(); err != nil {
		return nil, nil, err
	}
	found, err := imageio.Folder(d.Dir)
	if err != nil {
		return nil, nil, err
	}
	names := slices.Sorted(maps.Keys(found))
	order := philox.New(d.Seed, orderStream)
	for i := len(names) - 1; i > 0; i-- { // Fisher and Yates
		j := order.Intn(uint64(i), i+1)
		names[i], names[j] = names[j], names[i]
	}
	var all []Crop
	for next := 0; len(all) < 2*d.Crops; next++ {
		name := names[next%len(names)]
		crop, err := d.cut(name, found[name], uint64(next), threads)
		if err != nil {
			return nil, nil, err
		}
		if crop != nil {
			all = append(all, *crop)
		} else if len(all) == 0 && next == len(names)-1 {
			return nil, nil, fmt.Errorf("%s: no image has %dx%d pixels; ask for smaller crops", d.Dir, d.Side, d.Side)
		}
	}
	return all[:d.Crops], all[d.Crops:], nil
}

func (d Data) validate() error {
	switch {
	case d.Crops < 1 || d.Crops > maxCrops:
		return fmt.Errorf("%d images: want 1 to %d", d.Crops, maxCrops)
	case d.Scale < 2:
		return fmt.Errorf("scale %d: want 2 or more", d.Scale)
	case d.Side < 32 || d.Side > 4096 || d.Side%d.Scale != 0:
		return fmt.Errorf("crops of %d pixels: want 32 to 4096, a multiple of the model's scale %d", d.Side, d.Scale)
	}
	return nil
}

// cut makes crop number index from an image; nil if the image is too small.
func (d Data) cut(name, path string, index uint64, threads int) (*Crop, error) {
	img, err := imageio.ReadFile(path, imageio.Limits{})
	if err != nil {
		return nil, err
	}
	if min(img.Width, img.Height) < d.Side {
		return nil, nil
	}
	img.Flatten([3]float32{1, 1, 1})
	place := philox.New(d.Seed, placeStream)
	x, y := place.Intn(2*index, img.Width-d.Side+1), place.Intn(2*index+1, img.Height-d.Side+1)
	pix := img.RGB8()
	c := &Crop{Name: fmt.Sprintf("%s+%d+%d", name, x, y), truth: metric.Image{Height: d.Side, Width: d.Side}}
	for row := range d.Side {
		c.truth.Pix = append(c.truth.Pix, pix[((y+row)*img.Width+x)*3:][:d.Side*3]...)
	}
	low := d.Side / d.Scale
	small := make([]uint8, low*low*3)
	if err := resample.Resize8(small, c.truth.Pix, low, low, d.Side, d.Side, 3, resample.Bicubic, threads); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.lr, err = imageio.FromRGB8(low, low, small); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.texture, err = metric.NewTexture(c.truth.Float()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Digest identifies the pixels of crops: 64 hexadecimal digits.
func Digest(crops []Crop) string {
	h := sha256.New()
	for _, c := range crops {
		fmt.Fprintf(h, "%s %d\n", c.Name, len(c.truth.Pix))
		h.Write(c.truth.Pix)
	}
	return hex.EncodeToString(h.Sum(nil))
}
