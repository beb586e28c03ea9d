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
// without --lr, the feature distance is left out without --features.
type metricsResult struct {
	PSNR            decibels `json:"psnr"`
	SSIM            float64  `json:"ssim"`
	Consistency     *float64 `json:"consistency"`
	FeatureDistance *float64 `json:"feature_distance,omitempty"`
}

// measurer compares images by the metrics that were asked for.
type measurer struct {
	threads int
	// features is the SqueezeNet 1.1 feature distance, nil if not asked for.
	features func(hr, sr metric.Image, threads int) (float64, error)
}

// metricsFlags is the command line of "sr3 metrics".
type metricsFlags struct {
	hr, sr, lr, features string
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
11x11 Gaussian window of sigma 1.5 over the valid region. Transparency is
ignored.

With --features, an ONNX file of SqueezeNet 1.1 as converted from Caffe, it adds
the SqueezeNet 1.1 feature distance: squared differences of features at unit
length, averaged over positions, summed over nine stages; 0 is perfect. It is
neither LPIPS nor FID and compares only with itself.

Folders are compared image by image, matched by name without extension, and in
the mean. Images without a partner are reported and the exit code is 3.`,
		Example: `  sr3 metrics --hr truth.png --sr result.png
  sr3 metrics --hr truth.png --sr result.png --lr small.png --json
  sr3 metrics --hr truths --sr results --features squeezenet1.1.onnx`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.hr, "hr", "", "the true high-resolution image, or a folder of them")
	f.StringVar(&flags.sr, "sr", "", "the super-resolved image, or a folder of them")
	f.StringVar(&flags.lr, "lr", "", "the low-resolution input, or a folder of them, for consistency")
	f.StringVar(&flags.features, "features", "", "an ONNX file of SqueezeNet 1.1, for the feature distance")
	addThreads(f, &flags.threads)
	f.BoolVar(&flags.json, "json", false, "print one JSON object; for folders one a line")
	return cmd
}

func (f *metricsFlags) run(ctx context.Context, s *streams) error {
	if f.hr == "" || f.sr == "" {
		return usagef("--hr and --sr are needed: the true image and the result")
	}
	folders, err := f.areFolders()
	if err != nil {
		return err
	}
	m := &measurer{threads: threadsOrAll(f.threads)}
	if f.features != "" {
		network, err := squeezenet.Load(f.features)
		if err != nil {
			return err
		}
		m.features = network.Distance
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
	if lrPath == "" {
		return r, nil
	}
	lr, err := readMetricImage(lrPath)
	if err != nil {
		return nil, err
	}
	c, err := metric.Consistency(lr, sr, m.threads)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", lrPath, srPath, err)
	}
	r.Consistency = &c
	return r, nil
}

// compare computes the metrics of a result against the truth.
func (m *measurer) compare(hr, sr metric.Image) (*metricsResult, error) {
	psnr, err := metric.PSNR(hr, sr)
	if err != nil {
		return nil, err
	}
	ssim, err := metric.SSIM(hr, sr, m.threads)
	if err != nil {
		return nil, err
	}
	r := &metricsResult{PSNR: decibels(psnr), SSIM: ssim}
	if m.features != nil {
		d, err := m.features(hr, sr, m.threads)
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
	fmt.Fprintf(s.out, "PSNR         %s\nSSIM         %.4f\n", psnr, r.SSIM)
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
