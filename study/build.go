package study

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/resample"
)

// catchFactor is how coarse the degraded image of a catch trial is: an eighth of the
// sides, enlarged by repeating pixels.
const catchFactor = 8

// ReadLimits are what an image given to a study may be.
var ReadLimits = imageio.Limits{MaxPixels: maxImagePixels, MaxBytes: 64 << 20}

// Builder makes the folder of a study: Begin, Add for each image, Finish. Nothing
// that could be opened as a study is there before Finish.
type Builder struct {
	folder Folder
	// LowKernel enlarges low-resolution images to be shown at the size of the others.
	LowKernel resample.Kernel
	// Threads for resampling; results do not depend on it.
	Threads int
}

// Begin makes the folder dir, which must not exist or be empty. Of m the images are
// ignored, and PerSubject 0 means half of the images, 50 at most, as in the paper.
func Begin(dir string, m Manifest) (*Builder, error) {
	m.Images = nil
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("make study %s: the folder is not empty", dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, ImagesFolder), 0o777); err != nil {
		return nil, fmt.Errorf("make study: %w", err)
	}
	return &Builder{folder: Folder{Dir: dir, Manifest: m}, LowKernel: resample.Bicubic}, nil
}

// Add adds an image: the original, its low-resolution version and a result of each
// method, in the order of the manifest. What is transparent is laid over white,
// profiles and other metadata are dropped, 16-bit samples become 8-bit ones. All
// results must have the original's size.
func (b *Builder) Add(name string, original, low *imageio.Image, results []*imageio.Image) error {
	if err := b.add(name, original, low, results); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	return nil
}

func (b *Builder) add(name string, original, low *imageio.Image, results []*imageio.Image) error {
	m := &b.folder.Manifest
	if err := b.check(original, low, results); err != nil {
		return err
	}
	low8, err := b.enlarged(low, original.Width, original.Height)
	if err != nil {
		return err
	}
	coarse, err := b.degraded(original)
	if err != nil {
		return err
	}
	var files [][]byte
	for _, img := range append([]*imageio.Image{original, low8, coarse}, results...) {
		img.Flatten([3]float32{1, 1, 1})
		data, err := plainPNG(img)
		if err != nil {
			return err
		}
		files = append(files, data)
	}
	if err := equalise(files); err != nil {
		return err
	}
	entry := ImageEntry{Name: name, Width: original.Width, Height: original.Height}
	for kind, data := range files {
		path := b.folder.imagePath(len(m.Images), kind)
		err := runfiles.WriteAtomic(path, func(w io.Writer) error { _, err := w.Write(data); return err })
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		entry.SHA256 = append(entry.SHA256, hex.EncodeToString(sum[:]))
	}
	m.Images = append(m.Images, entry)
	return nil
}

// check looks at sizes.
func (b *Builder) check(original, low *imageio.Image, results []*imageio.Image) error {
	methods := b.folder.Manifest.Methods
	if len(results) != len(methods) {
		return fmt.Errorf("%d results for %d methods", len(results), len(methods))
	}
	if err := checkSize(original.Width, original.Height); err != nil {
		return fmt.Errorf("the original: %w", err)
	}
	for i, r := range results {
		if r.Width != original.Width || r.Height != original.Height {
			return fmt.Errorf("the result of %s is %dx%d pixels, the original %dx%d: the two of a pair must have one size",
				methods[i].Name, r.Width, r.Height, original.Width, original.Height)
		}
	}
	if low.Width > original.Width || low.Height > original.Height || low.Width < 1 || low.Height < 1 {
		return fmt.Errorf("the low-resolution image is %dx%d pixels, the original %dx%d", low.Width, low.Height, original.Width, original.Height)
	}
	return nil
}

// enlarged is the low-resolution image at the size at which it is shown.
func (b *Builder) enlarged(low *imageio.Image, w, h int) (*imageio.Image, error) {
	low.Flatten([3]float32{1, 1, 1})
	return b.resized(low, w, h, b.LowKernel)
}

// degraded is what a catch trial shows beside the original.
func (b *Builder) degraded(original *imageio.Image) (*imageio.Image, error) {
	original.Flatten([3]float32{1, 1, 1})
	small, err := b.resized(original, max(1, original.Width/catchFactor), max(1, original.Height/catchFactor), resample.Box)
	if err != nil {
		return nil, err
	}
	return b.resized(small, original.Width, original.Height, resample.Nearest)
}

func (b *Builder) resized(m *imageio.Image, w, h int, k resample.Kernel) (*imageio.Image, error) {
	pix := make([]uint8, 3*w*h)
	if err := resample.Resize8(pix, m.RGB8(), h, w, m.Height, m.Width, 3, k, b.Threads); err != nil {
		return nil, fmt.Errorf("resize: %w", err)
	}
	return imageio.FromRGB8(w, h, pix)
}

// Finish writes the manifest. Then the study can be opened.
func (b *Builder) Finish() (*Folder, error) {
	m := &b.folder.Manifest
	if len(m.Images) == 0 {
		return nil, errors.New("make study: no images")
	}
	if m.PerSubject == 0 {
		m.PerSubject = defaultPerSubject(len(m.Images), m.Catch)
	}
	if m.Title = strings.TrimSpace(m.Title); m.Title == "" {
		m.Title = NewManifest().Title
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("make study: %w", err)
	}
	if err := b.folder.writeManifest(); err != nil {
		return nil, fmt.Errorf("make study: %w", err)
	}
	return Open(b.folder.Dir)
}
