package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/distribution"
)

// metricsLine is one line of "sr3 metrics --json" for folders.
type metricsLine struct {
	Event  string `json:"event"` // image, error, mean
	Name   string `json:"name,omitempty"`
	Error  string `json:"error,omitempty"`
	Images int    `json:"images,omitempty"` // how many the mean is of
	Failed *int   `json:"failed,omitempty"` // how many it lacks
	*metricsResult
}

// metricsTable writes the lines of a comparison of folders.
type metricsTable struct {
	streams *streams
	json    bool
	width   int // of the names
	sum     metricsResult
	scales  int          // images with MS-SSIM
	sets    *featureSets // nil if not asked for
	done    int
	failed  int
}

// folders compares the images of folders one by one and in the mean.
func (m *measurer) folders(ctx context.Context, s *streams, f *metricsFlags) error {
	var sides [3]map[string]string // paths by name of --hr, --sr, --lr
	names := map[string]bool{}
	for i, dir := range []string{f.hr, f.sr, f.lr} {
		if dir == "" {
			continue
		}
		var err error
		if sides[i], err = imageio.Folder(dir); err != nil {
			return err
		}
		for name := range sides[i] {
			names[name] = true
		}
	}
	t := &metricsTable{streams: s, json: f.json, width: len("mean of 000"), sets: m.sets}
	for name := range names {
		t.width = max(t.width, len(name))
	}
	t.header(f)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := f.missing(sides, name)
		var r *metricsResult
		if err == nil {
			r, err = m.measure(sides[0][name], sides[1][name], sides[2][name])
		}
		t.add(name, r, err)
	}
	return t.finish()
}

// missing is an error that names the folder without an image of this name.
func (f *metricsFlags) missing(sides [3]map[string]string, name string) error {
	for i, dir := range []string{f.hr, f.sr, f.lr} {
		if dir != "" && sides[i][name] == "" {
			return fmt.Errorf("%s: no image of this name in %s", name, dir)
		}
	}
	return nil
}

func (t *metricsTable) header(f *metricsFlags) {
	if t.json {
		return
	}
	of := "  PSNR dB    SSIM  MS-SSIM"
	if f.luma {
		of = "   PSNR Y  SSIM Y  MS-SSIM Y"
	}
	fmt.Fprintf(t.streams.out, "%-*s%s", t.width, "", of)
	if f.lr != "" {
		fmt.Fprint(t.streams.out, "  consistency e-5")
	}
	if f.features != "" {
		fmt.Fprint(t.streams.out, "  SqueezeNet 1.1 feature distance")
	}
	fmt.Fprintln(t.streams.out)
}

// add reports one image and counts it.
func (t *metricsTable) add(name string, r *metricsResult, err error) {
	if err != nil {
		t.failed++
		fmt.Fprintf(t.streams.err, "sr3: %v\n", err)
		t.emit(metricsLine{Event: "error", Name: name, Error: err.Error()})
		return
	}
	t.done++
	t.sum.add(r)
	if r.MSSSIM != nil {
		t.scales++
	}
	t.emit(metricsLine{Event: "image", Name: name, metricsResult: r})
	t.row(name, r)
}

// emit writes a line if --json was given.
func (t *metricsTable) emit(line metricsLine) {
	if t.json {
		_ = writeJSON(t.streams.out, line) // a reader that went away shows up in the exit code of the pipe
	}
}

// row writes a line for people.
func (t *metricsTable) row(name string, r *metricsResult) {
	if t.json {
		return
	}
	scales, width := "-", len("MS-SSIM")
	if r.MSSSIM != nil {
		scales = fmt.Sprintf("%.4f", *r.MSSSIM)
	}
	if r.Luma {
		width = len("MS-SSIM Y")
	}
	fmt.Fprintf(t.streams.out, "%-*s  %7.2f  %.4f  %*s", t.width, name, r.PSNR, r.SSIM, width, scales)
	if r.Consistency != nil {
		fmt.Fprintf(t.streams.out, "  %15.4g", *r.Consistency)
	}
	if r.FeatureDistance != nil {
		fmt.Fprintf(t.streams.out, "  %31.4f", *r.FeatureDistance)
	}
	fmt.Fprintln(t.streams.out)
}

// finish writes the mean and says whether images failed.
func (t *metricsTable) finish() error {
	if t.done == 0 {
		return fmt.Errorf("none of %d images could be compared", t.failed)
	}
	mean := t.sum.over(float64(t.done))
	if t.scales < t.done {
		mean.MSSSIM = nil // a mean of some images is not to be compared with one of all
	}
	t.compareSets(mean)
	t.emit(metricsLine{Event: "mean", Images: t.done, Failed: &t.failed, metricsResult: mean})
	t.row(fmt.Sprintf("mean of %d", t.done), mean)
	if mean.FrechetDistance != nil && !t.json {
		fmt.Fprintf(t.streams.out, "SqueezeNet 1.1 position Frechet distance of the sets  %.5f\n", *mean.FrechetDistance)
	}
	if t.failed > 0 {
		return &partialError{t.failed, t.done + t.failed}
	}
	return nil
}

// compareSets adds the Frechet distance of the sets to a mean. Sets of a single
// position have none; this is said, and the rest stands.
func (t *metricsTable) compareSets(mean *metricsResult) {
	if t.sets == nil {
		return
	}
	d, err := t.sets.truths.FrechetDistance(&t.sets.results)
	if err != nil {
		fmt.Fprintf(t.streams.err, "sr3: no SqueezeNet 1.1 position Frechet distance: %v\n", err)
		return
	}
	mean.FrechetDistance = &d
}

// featureSets gathers what the sixth stage of SqueezeNet 1.1 finds in the images
// of two folders.
type featureSets struct {
	positions       func(img metric.Image, threads int) (distribution.Matrix[float32], error)
	truths, results distribution.Gaussian
}

// add takes in a pair of images.
func (s *featureSets) add(hr, sr metric.Image, threads int) error {
	truth, err := s.positions(hr, threads)
	if err != nil {
		return err
	}
	result, err := s.positions(sr, threads)
	if err != nil {
		return err
	}
	return errors.Join(s.truths.Add(truth), s.results.Add(result))
}

// add adds the numbers of an image to a sum.
func (r *metricsResult) add(x *metricsResult) {
	r.Luma, r.Crop = x.Luma, x.Crop
	r.PSNR += x.PSNR
	r.SSIM += x.SSIM
	r.Consistency = plus(r.Consistency, x.Consistency)
	r.FeatureDistance = plus(r.FeatureDistance, x.FeatureDistance)
	r.MSSSIM = plus(r.MSSSIM, x.MSSSIM)
}

// over divides a sum by the number of images.
func (r *metricsResult) over(n float64) *metricsResult {
	mean := &metricsResult{PSNR: r.PSNR / decibels(n), SSIM: r.SSIM / n, Luma: r.Luma, Crop: r.Crop}
	if r.Consistency != nil {
		mean.Consistency = new(*r.Consistency / n)
	}
	if r.FeatureDistance != nil {
		mean.FeatureDistance = new(*r.FeatureDistance / n)
	}
	if r.MSSSIM != nil {
		mean.MSSSIM = new(*r.MSSSIM / n)
	}
	return mean
}

// plus adds numbers of which nil counts nothing.
func plus(a, b *float64) *float64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return new(*a + *b)
}
