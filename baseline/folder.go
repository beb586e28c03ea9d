package baseline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sr3-go/sr3/imageio"
)

// folder has the results of another program, found by name.
type folder struct {
	name, dir string
	paths     map[string]string
}

func newFolder(name, dir string) (*folder, error) {
	paths, err := imageio.Folder(dir)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", name, err)
	}
	return &folder{name, dir, paths}, nil
}

// Info names the folder as it was given, or by its last part: reports are passed on, and where the folders of a machine
// lie is nobody's business.
func (f *folder) Info() Info {
	dir := f.dir
	if !filepath.IsLocal(dir) {
		dir = filepath.Base(dir)
	}
	return Info{Name: f.name, Kind: KindFolder, Settings: "images in " + dir}
}

// Version is the digest of the file.
func (f *folder) Version(in Input) (string, error) {
	path, err := f.path(in)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.name, err)
	}
	sum := sha256.Sum256(data)
	return "file " + hex.EncodeToString(sum[:]), nil
}

// Upscale reads the image. What is transparent in it is laid over white.
func (f *folder) Upscale(ctx context.Context, in Input) (*imageio.Image, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	path, err := f.path(in)
	if err != nil {
		return nil, err
	}
	img, err := imageio.ReadFile(path, imageio.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	if err := in.checkSize(img, path); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	img.Flatten([3]float32{1, 1, 1})
	return imageio.FromRGB8(img.Width, img.Height, img.RGB8())
}

func (f *folder) path(in Input) (string, error) {
	if path, ok := f.paths[in.Name]; ok {
		return path, nil
	}
	return "", fmt.Errorf("%s: %w: %s has none named %s", f.name, ErrNoResult, f.dir, in.Name)
}
