package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/runfiles"
)

// clearDeviation is the standard deviation, in 1/255, above which pixels are
// counted as made up.
const clearDeviation = 8

// sampleSet names the files of one image with --samples.
type sampleSet struct {
	draws           []string
	mean, deviation string
}

// setOf names the files that stand for j.out. The map is always PNG: JPEG would
// smear its colours.
func (f *upscaleFlags) setOf(j job) sampleSet {
	ext := filepath.Ext(j.out)
	stem := strings.TrimSuffix(j.out, ext)
	s := sampleSet{mean: stem + ".mean" + ext, deviation: stem + ".deviation.png"}
	digits := len(strconv.Itoa(f.samples - 1)) // so that names sort by number
	for i := range f.samples {
		s.draws = append(s.draws, fmt.Sprintf("%s.sample-%0*d%s", stem, digits, i, ext))
	}
	return s
}

// all lists the files in the order in which they appear.
func (s sampleSet) all() []string { return append(slices.Clone(s.draws), s.mean, s.deviation) }

// checkSamples finds what is wrong with the flags of draws.
func (f *upscaleFlags) checkSamples(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("samples") {
		if cmd.Flags().Changed("deviation-scale") {
			return usagef("--deviation-scale goes with --samples")
		}
		return nil
	}
	if f.samples < 2 {
		return usagef("--samples %d: want 2 or more; one result is what there is without --samples", f.samples)
	}
	if !(f.deviation > 0 && f.deviation <= 255) {
		return usagef("--deviation-scale %v: want more than 0, up to 255", f.deviation)
	}
	return nil
}

// setReport is what --json says of a set.
type setReport struct {
	Files     []string `json:"files"` // of the draws
	Mean      string   `json:"mean"`
	Deviation string   `json:"deviation"`
	Scale     float64  `json:"deviation_scale"` // of the map, in 1/255
	// What follows is missing with --nats.
	MeanDeviation *float64 `json:"mean_deviation,omitempty"` // in 1/255
	Above         float64  `json:"above,omitempty"`          // in 1/255
	ShareAbove    *float64 `json:"share_above,omitempty"`    // of the pixels
}

// set makes the draws of one image. Their files are written to a hidden folder
// beside the outputs and get their names when all are there.
func (b *batch) set(ctx context.Context, j job, img *sr3.Image, format string, start time.Time) error {
	names, dir := b.flags.setOf(j), filepath.Dir(j.out)
	if err := makeFolder(dir); err != nil {
		return err
	}
	hidden, err := os.MkdirTemp(dir, ".sr3-*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", names.mean, cause(err))
	}
	defer os.RemoveAll(hidden)
	w := &setWriter{batch: b, hidden: hidden, options: imageio.Options{Format: format, Quality: b.flags.quality}, notes: slices.Clone(img.Notes)}
	s, err := b.up.Samples(ctx, img, b.optionsFor(j), b.flags.samples, func(i int, draw *sr3.Image) error {
		return w.write(names.draws[i], draw)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", j.in, err)
	}
	report := *s.Report
	if err := w.statistics(s, names); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.publish(names.all()); err != nil {
		return err
	}
	b.done++
	r := &setReport{Files: names.draws, Mean: names.mean, Deviation: names.deviation, Scale: b.flags.deviation,
		MeanDeviation: new(s.MeanDeviation()), Above: clearDeviation, ShareAbove: new(s.ShareAbove(clearDeviation))}
	b.announceSet(j, s.Mean, &report, r, w.notes, time.Since(start))
	return nil
}

// announceSet reports a finished set.
func (b *batch) announceSet(j job, mean *sr3.Image, r *sr3.Report, set *setReport, notes []string, took time.Duration) {
	b.meter.clear()
	b.emit(event{Event: "done", Input: j.in, Output: set.Mean, Width: mean.Width, Height: mean.Height, Seconds: took.Seconds(),
		Draws: r.Draws, Report: r, Samples: set, Notes: notes})
	if b.flags.json || b.flags.quiet {
		return
	}
	b.tell(j, notes)
	fmt.Fprintf(b.streams.out, "%s ... %s\n", set.Files[0], filepath.Base(set.Files[len(set.Files)-1]))
	fmt.Fprintf(b.streams.out, "%s  %dx%d  %s, %s  %s\n", set.Mean, mean.Width, mean.Height, r.Model, howMade(r), shortDuration(took))
	if set.MeanDeviation == nil {
		fmt.Fprintln(b.streams.out, set.Deviation)
		return
	}
	fmt.Fprintf(b.streams.out, "%s  standard deviation %.1f/255 on average, above %v/255 in %.1f%% of the pixels\n",
		set.Deviation, *set.MeanDeviation, set.Above, 100**set.ShareAbove)
}

// setWriter writes the files of a set.
type setWriter struct {
	batch   *batch
	hidden  string // folder
	options imageio.Options
	notes   []string
}

// write writes an image under the name that it will have, in the hidden folder.
// What all files of the set lose is noted once.
func (w *setWriter) write(path string, img *sr3.Image) error {
	w.batch.takeReport(img)
	notes, err := imageio.WriteFile(filepath.Join(w.hidden, filepath.Base(path)), img, w.options)
	for _, n := range notes {
		if !slices.Contains(w.notes, n) {
			w.notes = append(w.notes, n)
		}
	}
	return err
}

// statistics writes mean and map.
func (w *setWriter) statistics(s *sr3.Samples, names sampleSet) error {
	if err := w.write(names.mean, s.Mean); err != nil {
		return err
	}
	heat, err := sr3.DeviationMap(s, w.batch.flags.deviation)
	if err != nil {
		return err
	}
	w.options.Format = "png"
	return w.write(names.deviation, heat)
}

// publish gives the files their names. It copies them, so that permissions and
// links of files that are replaced stay.
func (w *setWriter) publish(paths []string) error {
	for _, path := range paths {
		err := runfiles.WriteAtomic(path, func(out io.Writer) error {
			in, err := os.Open(filepath.Join(w.hidden, filepath.Base(path)))
			if err != nil {
				return err
			}
			defer in.Close()
			_, err = io.Copy(out, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}
