package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// sampleFlags are the settings of "sr3 sample".
type sampleFlags struct {
	upscaleFlags
	count   int
	size    int
	columns int
	process bool
	frames  int
}

func newSample(s *streams) *cobra.Command {
	f := &sampleFlags{}
	cmd := &cobra.Command{
		Use:   "sample [IMAGE...] [flags]",
		Short: "Draw several results side by side, make images from noise, show the refinement",
		Long: `sample draws --count results and puts them on one picture.

With images, each gets a row: the image itself, enlarged without smoothing, and its
draws, with the seeds from --seed on. Without images the model must be an
unconditional one (sr3 train --objective unconditional); it makes images from noise
alone, and models after it, joined by commas, enlarge them: a cascade that begins with
nothing.

--process shows how a result comes about instead: a row for each draw, with the noisy
image y_t at --frames noise levels from the noisiest to the result. Where a network
refines what bicubic enlargement or a predictor leaves out, the noise looks as faint
as that is.

If -o names a folder (it exists, or ends in a slash), every picture is written to a
file of its own instead: 0000.png and so on.`,
		Example: `  sr3 sample face.png -n face-16-128 --count 6 -o draws.png
  sr3 sample photo.jpg --process --frames 8 -o process.png
  sr3 sample -n ddpm-64 --count 64 --seed 1 -o grid.png
  sr3 sample -n ddpm-64,face-64-256 --count 4 --steps 200,20 -o faces/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.inputs = args
			return f.run(cmd, s)
		},
	}
	f.register(cmd)
	return cmd
}

func (f *sampleFlags) register(cmd *cobra.Command) {
	fl, o := cmd.Flags(), &f.options
	fl.StringVarP(&f.output, "output", "o", "samples.png", "picture to write, or a folder")
	fl.StringVarP(&f.model, "model", "n", model.DefaultName, "model by name or file; several joined by commas, or a cascade file, one after the other")
	addModelsDir(fl, &f.modelsDir)
	fl.IntVar(&f.count, "count", 0, "draws: of each image (default 4), or from noise (default 16)")
	fl.IntVar(&f.size, "size", 0, "side of images made from noise, in pixels, before they are enlarged (default: what the model was trained on)")
	fl.IntVar(&f.columns, "columns", 0, "images in a row, of those made from noise (default: about as many as rows)")
	fl.BoolVar(&f.process, "process", false, "show how each draw comes about: y_t from the noisiest to the result")
	fl.IntVar(&f.frames, "frames", 8, "pictures in a row of --process")
	fl.Float64VarP(&o.Scale, "scale", "s", 0, "how many times larger images become (default: the model's)")
	fl.IntSliceVar(&f.steps, "steps", nil, "refinement steps; for several models one number, or one for each, 0 for its own (default: the model's)")
	fl.StringVar(&o.Sampler, "sampler", "", "ancestral, ddim, dpmpp-2m, heun or unipc (default: the model's)")
	fl.StringVar(&o.Schedule, "schedule", "", "inference noise schedule: paper, training or logsnr (default: the model's)")
	fl.Float64Var(&o.Eta, "eta", 0, "share of fresh noise in ddim and dpmpp-2m, 0 (none) to 1 (default: the model's)")
	fl.Float64Var(&o.Temperature, "temperature", 0, "scale of the noise, to 2 (default: the model's)")
	fl.StringVar(&f.seed, "seed", "0", "number that chooses the first draw; -1 draws one and prints it")
	addThreads(fl, &o.Threads)
	fl.BoolVar(&f.overwrite, "overwrite", false, "replace outputs that exist")
	fl.BoolVar(&f.json, "json", false, "write events to standard output, one JSON object a line")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
}

// run carries the command out.
func (f *sampleFlags) run(cmd *cobra.Command, s *streams) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	source, err := f.source()
	if err != nil {
		return err
	}
	defer source.close()
	p := &sampling{sampleFlags: f, streams: s, source: source, meter: newMeter(s.err, f.quiet || f.json)}
	if f.seed == "-1" && !f.json {
		fmt.Fprintf(s.err, "sr3: seed %d\n", f.options.Seed)
	}
	return p.run(cmd.Context())
}

// check finds what is wrong with the flags.
func (f *sampleFlags) check(cmd *cobra.Command) error {
	for _, c := range []struct {
		flag  string
		value int
	}{{"count", f.count}, {"size", f.size}, {"columns", f.columns}, {"frames", f.frames}} {
		if c.value < 0 || cmd.Flags().Changed(c.flag) && c.value == 0 {
			return usagef("--%s %d: want a positive number", c.flag, c.value)
		}
	}
	if len(f.inputs) > 0 && (f.size > 0 || f.columns > 0) {
		return usagef("--size and --columns are for images made from noise; images have sizes and rows of their own")
	}
	if f.process && f.frames < 2 {
		return usagef("--frames %d: want 2 or more", f.frames)
	}
	if !f.process && cmd.Flags().Changed("frames") {
		return usagef("--frames is for --process")
	}
	if f.process && f.columns > 0 {
		return usagef("--columns does not go with --process, where each draw has a row")
	}
	if f.count == 0 {
		f.count = 16
		if len(f.inputs) > 0 {
			f.count = 4
		}
		if f.process {
			f.count = 1
		}
	}
	for _, in := range f.inputs {
		if st, err := os.Stat(in); err != nil {
			return fmt.Errorf("read %s: %w", in, cause(err))
		} else if st.IsDir() {
			return usagef("%s is a folder; give its images: %s", in, filepath.Join(in, "*.png"))
		}
	}
	// What the two commands share is checked as "sr3 upscale" does it.
	all := f.upscaleFlags
	all.inputs, all.output, all.lost = []string{stdio}, "", inputFlags{autoValue, autoValue, autoValue}
	if err := all.check(cmd); err != nil {
		return err
	}
	f.options = all.options
	return nil
}

// sampling is a run of the command.
type sampling struct {
	*sampleFlags
	streams *streams
	source  *drawer
	meter   *meter

	done, all int
}

// run makes all rows and writes them.
func (p *sampling) run(ctx context.Context) error {
	p.all = max(len(p.inputs), 1) * p.count
	folder, err := p.checkOutput()
	if err != nil {
		return err
	}
	images := make([]*sr3.Image, max(len(p.inputs), 1))
	for i, in := range p.inputs {
		img, err := sr3.ReadFile(in)
		if err != nil {
			return err
		}
		images[i] = img
	}
	p.meter.begin("sample")
	var rows []row
	for i, img := range images {
		input := ""
		if img != nil {
			input = p.inputs[i]
		}
		made, err := p.rowsOf(ctx, input, img)
		p.meter.clear()
		if err != nil {
			return err
		}
		rows = append(rows, made...)
	}
	if folder {
		return p.writeAll(rows)
	}
	return p.write(p.output, mosaic(p.arrange(rows)), event{Seed: &p.options.Seed})
}

// checkOutput finds what would keep the results from being written, and says whether
// they go to a folder.
func (p *sampling) checkOutput() (folder bool, err error) {
	folder = strings.HasSuffix(p.output, "/") || strings.HasSuffix(p.output, string(filepath.Separator))
	if st, err := os.Stat(p.output); err == nil && st.IsDir() {
		folder = true
	}
	if !folder {
		if _, err := imageio.FormatOf(p.output); err != nil {
			return false, usagef("-o: %w", err)
		}
		return false, errors.Join(p.checkFree(p.output), runfiles.CheckWritable(p.output))
	}
	most := p.all
	if p.process {
		most *= p.frames
	}
	for n := range most {
		if err := p.checkFree(p.numbered(n)); err != nil {
			return true, err
		}
	}
	return true, runfiles.CheckWritable(p.numbered(0))
}

// checkFree says whether a file may be written.
func (p *sampling) checkFree(path string) error {
	if _, err := os.Lstat(path); err == nil && !p.overwrite {
		return fmt.Errorf("%s exists already; give --overwrite to replace it, or another -o", path)
	}
	return nil
}

// numbered is the path of a file in the folder of the results.
func (p *sampling) numbered(n int) string { return filepath.Join(p.output, fmt.Sprintf("%04d.png", n)) }

// row is what a picture shows side by side: draws of one image, or one draw as it comes about.
type row struct {
	input string     // the image's file, empty for noise
	image *sr3.Image // shown before the draws; may be nil
	drawn []*sr3.Image
	seeds []uint64 // of what is drawn
}

// rowsOf makes the draws of one image: one row, or one for each with --process.
func (p *sampling) rowsOf(ctx context.Context, input string, img *sr3.Image) ([]row, error) {
	var rows []row
	all := row{input: input, image: img}
	for i := range p.count {
		o := p.options
		o.Seed = upscale.DrawSeed(p.options.Seed, i)
		tell := func(share float64) {
			p.meter.update((float64(p.done)+share)/float64(p.all), fmt.Sprintf("draw %d of %d", p.done+1, p.all))
		}
		strip := &film{frames: p.frames}
		if p.process {
			o.OnStep = strip.add
		}
		draw, err := p.source.draw(ctx, img, o, tell)
		if err != nil {
			return nil, fmt.Errorf("seed %d: %w", o.Seed, err)
		}
		p.done++
		all.drawn, all.seeds = append(all.drawn, draw), append(all.seeds, o.Seed)
		if p.process {
			frames := strip.row(draw)
			rows = append(rows, row{input: input, drawn: frames, seeds: slices.Repeat([]uint64{o.Seed}, len(frames))})
		}
	}
	if p.process {
		return rows, nil
	}
	return []row{all}, nil
}

// arrange puts rows on a picture; the only row of images made from noise it breaks into several.
func (p *sampling) arrange(rows []row) [][]*sr3.Image {
	var out [][]*sr3.Image
	if len(p.inputs) > 0 || p.process {
		for _, r := range rows {
			images := r.drawn
			if r.image != nil {
				images = append([]*sr3.Image{r.image}, images...)
			}
			out = append(out, images)
		}
		return out
	}
	columns := p.columns
	if columns == 0 {
		for columns*columns < p.count {
			columns++
		}
	}
	for images := range slices.Chunk(rows[0].drawn, columns) {
		out = append(out, images)
	}
	return out
}

// write writes a picture and says so; e has its seed and where it was made from.
func (p *sampling) write(path string, img *sr3.Image, e event) error {
	if err := sr3.WriteFile(path, img); err != nil {
		return err
	}
	if p.json {
		e.Event, e.Output, e.Width, e.Height = "done", path, img.Width, img.Height
		if made, ok := sr3.ReportOf(img); ok {
			e.Report = &made
		}
		return writeJSON(p.streams.out, e)
	}
	if !p.quiet {
		fmt.Fprintf(p.streams.out, "%s  %dx%d\n", path, img.Width, img.Height)
	}
	return nil
}

// writeAll writes every picture to a file of its own.
func (p *sampling) writeAll(rows []row) error {
	if err := makeFolder(p.output); err != nil {
		return err
	}
	n := 0
	for _, r := range rows {
		for i, img := range r.drawn {
			path := p.numbered(n)
			if err := p.checkFree(path); err != nil {
				return err
			}
			if err := p.write(path, img, event{Input: r.input, Seed: &r.seeds[i]}); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}
