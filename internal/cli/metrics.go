package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/squeezenet"
)

// decibels is a PSNR. JSON has no infinity: that of identical images is the
// string "inf".
type decibels float64

// MarshalJSON implements json.Marshaler.
func (d decibels) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(d), 1) {
		return []byte(`"inf"`), nil
	}
	return json.Marshal(float64(d))
}

// metricsResult is the output of "sr3 metrics --json". Consistency is null
// without --lr, the feature distance is left out without --features, MS-SSIM
// where an image is too small, the Frechet distance except in a mean.
type metricsResult struct {
	PSNR            decibels `json:"psnr"`
	SSIM            float64  `json:"ssim"`
	Consistency     *float64 `json:"consistency"`
	FeatureDistance *float64 `json:"feature_distance,omitempty"`
	MSSSIM          *float64 `json:"ms_ssim,omitempty"`
	FrechetDistance *float64 `json:"squeezenet_position_frechet_distance,omitempty"`
	Luma            bool     `json:"y,omitempty"`
	Crop            int      `json:"crop,omitempty"`
}

// measurer compares images by the metrics that were asked for.
type measurer struct {
	options metric.Options
	// features is the SqueezeNet 1.1 feature distance, nil if not asked for.
	features func(hr, sr metric.Image, threads int) (float64, error)
	// sets gathers the features of all images, nil if not asked for.
	sets *featureSets
}

// metricsFlags is the command line of "sr3 metrics".
type metricsFlags struct {
	hr, sr, lr, features string
	luma                 bool
	crop                 int
	threads              int
	json                 bool
}

func newMetrics(s *streams) *cobra.Command {
	var flags metricsFlags
	cmd := &cobra.Command{
		Use:   "metrics --hr TRUTH --sr RESULT [--lr INPUT]",
		Short: "Measure results against the truth and against their inputs",
		Long: `metrics compares a super-resolved image with the true one (PSNR in decibels and
SSIM) and, with --lr, with the low-resolution image it was made from
(consistency: the mean squared error, times 1e5, between the input and the result
reduced to the input's size; 0 is perfect).

All are computed on 8-bit RGB: PSNR over all pixels and channels, SSIM with an
11x11 Gaussian window of sigma 1.5 over the valid region. Images with sides of at
least 161 pixels have MS-SSIM too. Transparency is ignored.

Most papers on super-resolution give PSNR and SSIM of the Y channel (BT.601), with
as many pixels cut from every side as the scale: --y --crop 4 for x4. Consistency
and features are of the whole images in colour all the same.

With --features, an ONNX file of SqueezeNet 1.1 as converted from Caffe, it adds
the SqueezeNet 1.1 feature distance: squared differences of features at unit
length, averaged over positions, summed over nine stages; 0 is perfect. It is
neither LPIPS nor FID and compares only with itself.

Folders are compared image by image, matched by name without extension, and in
the mean. Images without a partner are reported and the exit code is 3. With
--features the folders are also compared as sets: the SqueezeNet 1.1 position
Frechet distance is that of Gaussians of the features of the sixth stage at all
positions of all images.`,
		Example: `  sr3 metrics --hr truth.png --sr result.png
  sr3 metrics --hr truth.png --sr result.png --lr small.png --json
  sr3 metrics --hr Set5 --sr results --y --crop 4
  sr3 metrics --hr truths --sr results --features squeezenet1.1.onnx`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.hr, "hr", "", "the true high-resolution image, or a folder of them")
	f.StringVar(&flags.sr, "sr", "", "the super-resolved image, or a folder of them")
	f.StringVar(&flags.lr, "lr", "", "the low-resolution input, or a folder of them, for consistency")
	f.StringVar(&flags.features, "features", "", "an ONNX file of SqueezeNet 1.1, for the feature distances")
	f.BoolVar(&flags.luma, "y", false, "PSNR, SSIM and MS-SSIM of the Y channel instead of RGB")
	f.IntVar(&flags.crop, "crop", 0, "pixels cut from every side for PSNR, SSIM and MS-SSIM")
	addThreads(f, &flags.threads)
	f.BoolVar(&flags.json, "json", false, "print one JSON object; for folders one a line")
	return cmd
}

func (f *metricsFlags) run(ctx context.Context, s *streams) error {
	if f.hr == "" || f.sr == "" {
		return usagef("--hr and --sr are needed: the true image and the result")
	}
	if f.crop < 0 {
		return usagef("--crop %d: give the number of pixels to cut, 0 or more", f.crop)
	}
	folders, err := f.areFolders()
	if err != nil {
		return err
	}
	m := &measurer{options: metric.Options{Luma: f.luma, Crop: f.crop, Threads: threadsOrAll(f.threads)}}
	if f.features != "" {
		network, err := squeezenet.Load(f.features)
		if err != nil {
			return err
		}
		m.features = network.Distance
		if folders {
			m.sets = &featureSets{positions: network.Positions}
		}
	}
	if folders {
		return m.folders(ctx, s, f)
	}
	r, err := m.measure(f.hr, f.sr, f.lr)
	if err != nil {
		return err
	}
	return r.print(s, f.json)
}

// areFolders reports whether folders are compared; a folder with a file makes no
// sense.
func (f *metricsFlags) areFolders() (bool, error) {
	given := []string{f.hr, f.sr}
	if f.lr != "" {
		given = append(given, f.lr)
	}
	folders := 0
	for _, path := range given {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			folders++
		} else if err != nil {
			return false, fmt.Errorf("read %s: %w", path, cause(err))
		}
	}
	if folders != 0 && folders != len(given) {
		return false, usagef("%s: some are folders and some are files; give only the ones or only the others", strings.Join(given, ", "))
	}
	return folders > 0, nil
}

// measure reads the images and computes what they allow.
func (m *measurer) measure(hrPath, srPath, lrPath string) (*metricsResult, error) {
	hr, err := readMetricImage(hrPath)
	if err != nil {
		return nil, err
	}
	sr, err := readMetricImage(srPath)
	if err != nil {
		return nil, err
	}
	r, err := m.compare(hr, sr)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", hrPath, srPath, err)
	}
	if lrPath != "" {
		if r.Consistency, err = m.consistency(lrPath, srPath, sr); err != nil {
			return nil, err
		}
	}
	// Only images of which nothing failed count in the sets, as in the mean.
	if m.sets != nil {
		if err := m.sets.add(hr, sr, m.options.Threads); err != nil {
			return nil, fmt.Errorf("%s and %s: %w", hrPath, srPath, err)
		}
	}
	return r, nil
}

func (m *measurer) consistency(lrPath, srPath string, sr metric.Image) (*float64, error) {
	lr, err := readMetricImage(lrPath)
	if err != nil {
		return nil, err
	}
	c, err := metric.Consistency(lr, sr, m.options.Threads)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", lrPath, srPath, err)
	}
	return &c, nil
}

// compare computes the metrics of a result against the truth.
func (m *measurer) compare(hr, sr metric.Image) (*metricsResult, error) {
	psnr, err := m.options.PSNR(hr, sr)
	if err != nil {
		return nil, err
	}
	ssim, err := m.options.SSIM(hr, sr)
	if err != nil {
		return nil, err
	}
	r := &metricsResult{PSNR: decibels(psnr), SSIM: ssim, Luma: m.options.Luma, Crop: m.options.Crop}
	if min(hr.Width, hr.Height)-2*m.options.Crop >= metric.MSSSIMMinSide {
		v, err := m.options.MSSSIM(hr, sr)
		if err != nil {
			return nil, err
		}
		r.MSSSIM = &v
	}
	if m.features != nil {
		d, err := m.features(hr, sr, m.options.Threads)
		if err != nil {
			return nil, err
		}
		r.FeatureDistance = &d
	}
	return r, nil
}

func (r *metricsResult) print(s *streams, asJSON bool) error {
	if asJSON {
		return writeJSON(s.out, r)
	}
	psnr := "infinite (the images are identical)"
	if !math.IsInf(float64(r.PSNR), 1) {
		psnr = fmt.Sprintf("%.2f dB", r.PSNR)
	}
	of := ""
	if r.Luma {
		of = " Y"
	}
	fmt.Fprintf(s.out, "%-11s  %s\n%-11s  %.4f\n", "PSNR"+of, psnr, "SSIM"+of, r.SSIM)
	if r.MSSSIM != nil {
		fmt.Fprintf(s.out, "%-11s  %.4f\n", "MS-SSIM"+of, *r.MSSSIM)
	}
	if r.Consistency != nil {
		fmt.Fprintf(s.out, "consistency  %.4g e-5\n", *r.Consistency)
	}
	if r.FeatureDistance != nil {
		fmt.Fprintf(s.out, "SqueezeNet 1.1 feature distance  %.4f\n", *r.FeatureDistance)
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
