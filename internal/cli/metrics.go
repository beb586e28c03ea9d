package cli

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/metric"
)

// metricsResult is the output of "sr3 metrics --json". JSON has no infinity: the
// PSNR of identical images is the string "inf".
type metricsResult struct {
	PSNR        any      `json:"psnr"`
	SSIM        float64  `json:"ssim"`
	Consistency *float64 `json:"consistency"`
}

func newMetrics(s *streams) *cobra.Command {
	var hr, sr, lr string
	var threads int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "metrics --hr TRUTH --sr RESULT [--lr INPUT]",
		Short: "Measure a result against the truth and against its input",
		Long: `metrics compares a super-resolved image with the true one (PSNR in decibels and
SSIM) and, with --lr, with the low-resolution image it was made from
(consistency: the mean squared error, times 1e5, between the input and the result
reduced to the input's size; 0 is perfect).

All are computed on 8-bit RGB: PSNR over all pixels and channels, SSIM with an
11x11 Gaussian window of sigma 1.5 over the valid region. Transparency is
ignored.`,
		Example: `  sr3 metrics --hr truth.png --sr result.png
  sr3 metrics --hr truth.png --sr result.png --lr small.png --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if hr == "" || sr == "" {
				return usagef("--hr and --sr are needed: the true image and the result")
			}
			r, err := measure(hr, sr, lr, threads)
			if err != nil {
				return err
			}
			return r.print(s, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&hr, "hr", "", "the true high-resolution image")
	f.StringVar(&sr, "sr", "", "the super-resolved image")
	f.StringVar(&lr, "lr", "", "the low-resolution input, for consistency")
	addThreads(f, &threads)
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// measure reads the images and computes what they allow.
func measure(hrPath, srPath, lrPath string, threads int) (*metricsResult, error) {
	hr, err := readMetricImage(hrPath)
	if err != nil {
		return nil, err
	}
	sr, err := readMetricImage(srPath)
	if err != nil {
		return nil, err
	}
	psnr, err := metric.PSNR(hr, sr)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", hrPath, srPath, err)
	}
	ssim, err := metric.SSIM(hr, sr, threads)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", hrPath, srPath, err)
	}
	r := &metricsResult{PSNR: psnr, SSIM: ssim}
	if math.IsInf(psnr, 1) {
		r.PSNR = "inf"
	}
	if lrPath == "" {
		return r, nil
	}
	lr, err := readMetricImage(lrPath)
	if err != nil {
		return nil, err
	}
	c, err := metric.Consistency(lr, sr, threads)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", lrPath, srPath, err)
	}
	r.Consistency = &c
	return r, nil
}

func (r *metricsResult) print(s *streams, asJSON bool) error {
	if asJSON {
		return writeJSON(s.out, r)
	}
	psnr := "infinite (the images are identical)"
	if v, ok := r.PSNR.(float64); ok {
		psnr = fmt.Sprintf("%.2f dB", v)
	}
	fmt.Fprintf(s.out, "PSNR         %s\nSSIM         %.4f\n", psnr, r.SSIM)
	if r.Consistency != nil {
		fmt.Fprintf(s.out, "consistency  %.4g e-5\n", *r.Consistency)
	}
	return nil
}

// readMetricImage reads an image as 8-bit RGB.
func readMetricImage(path string) (metric.Image, error) {
	img, err := imageio.ReadFile(path, imageio.Limits{})
	if err != nil {
		return metric.Image{}, err
	}
	return metric.Image{Height: img.Height, Width: img.Width, Pix: img.RGB8()}, nil
}
