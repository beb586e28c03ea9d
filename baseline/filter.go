package baseline

import (
	"context"
	"fmt"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/resample"
)

// filters are the names of filters and their kernels.
var filters = map[string]resample.Kernel{
	"nearest":  resample.Nearest,
	"bicubic":  resample.Bicubic,
	"lanczos":  resample.Lanczos3,
	"lanczos3": resample.Lanczos3,
}

// filter enlarges by interpolation in 8 bits, byte for byte as Pillow does.
type filter struct {
	name    string
	kernel  resample.Kernel
	threads int
}

func (f *filter) Info() Info {
	return Info{Name: f.name, Kind: KindFilter, Settings: f.kernel.String() + " in 8 bits, as Pillow"}
}

func (f *filter) Version(Input) (string, error) { return "filter " + f.kernel.String(), nil }

func (f *filter) Upscale(ctx context.Context, in Input) (*imageio.Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	pix := make([]uint8, 3*in.Width*in.Height)
	err := resample.Resize8(pix, in.LR.RGB8(), in.Height, in.Width, in.LR.Height, in.LR.Width, 3, f.kernel, f.threads)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return imageio.FromRGB8(in.Width, in.Height, pix)
}
