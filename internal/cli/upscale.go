package cli

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/cascade"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

// maxScale is the largest scale that package upscale takes.
const maxScale = 1024

// schedules are the inference schedules that have no settings of their own.
var schedules = []string{"paper", "training", "logsnr"}

// upscaleFlags are the settings of "sr3 upscale".
type upscaleFlags struct {
	inputs     []string
	output     string
	model      string
	modelsDir  string
	format     string
	seed       string
	quality    int
	overwrite  bool
	json       bool
	quiet      bool
	noMetadata bool
	consistent bool
	gpu        int
	lost       inputFlags
	nats       natsFlags
	steps      []int   // of every model, or of each of a cascade's
	samples    int     // draws; 0 for the plain result
	deviation  float64 // full scale of maps, in 1/255
	options    sr3.Options
}

func newUpscale(s *streams) *cobra.Command {
	f := &upscaleFlags{}
	cmd := &cobra.Command{
		Use:   "upscale IN... [flags]",
		Short: "Make images larger",
		Long: `upscale makes images larger. IN is a file, a folder (every image below it, mirrored
into the folder that -o names) or - for standard input.

Without -o the result of NAME.jpg stands beside it as NAME_sr3_x4.png, and that of
a folder in FOLDER_sr3_x4. An output that exists is not replaced unless
--overwrite is given: for one image that is an error, in a batch it is skipped.

The result is one of many possible ones; --seed chooses it. The same seed, model
and settings give the same bytes on any number of threads, and are stored in the
result: "sr3 inspect FILE" shows them. A model that is a regression (see "sr3 train
--help") has one result; it takes no --seed, --steps, --sampler, --schedule, --eta and --temperature.

What the model made up shows where possible results differ. --samples K writes K of
them instead of one, those of the seeds from --seed on (the first is the result
without --samples), their mean, and a map of their standard deviation: black where
the image decides, light where the model invents. NAME_sr3_x4.png becomes
NAME_sr3_x4.sample-0.png and so on, NAME_sr3_x4.mean.png and
NAME_sr3_x4.deviation.png. The colours of the map mean the same for every image.

--consistent makes results that the image could have come from: reduced to its size
by antialiased bicubic they are the image, to within rounding. JPEG and lossy WebP
change that afterwards. A model may make such results by default (sr3 model show), but
never of a JPEG of a quality below 90;
--consistent=false leaves them as the network made them.

Before it begins it says what images the model was trained for. Most models know
clean images alone; one that was trained with blur, noise and JPEG compression is told
how much of each an image has: noise is estimated from the pixels, the quality of a
JPEG read from the file, and blur, which cannot be seen, is what the model assumes.
--input-blur, --input-noise and --input-jpeg say it instead, for images that were
blurred, or saved again as another format after compression. More of it gives smoother
results. Noise that compression has removed from even areas is not seen, and an image
that is fine texture all over seems noisier than it is.

Models joined by commas are a cascade: each enlarges what the one before has made,
the first the image. They make the size that is asked for, else as many times larger
as all together. A cascade file (NAME.toml) holds such a list with settings for each:
  scale = 16
  [[stage]]
  model = "face-16-128"
  steps = 100
  [[stage]]
  model = "face-64-256"

--nats URL sends the images to the workers of a queue instead ("sr3 worker --help")
and writes what they make, as this machine would have, with one progress bar for all.
After Ctrl-C the workers go on with what they have, and the same command collects
the results and sends the rest. Names of models are those on the workers.

Exit code: 0 done, 1 failure, 2 wrong usage, 3 part of a batch failed, 130
interrupted. Nothing is ever half-written.`,
		Example: `  sr3 upscale photo.jpg
  sr3 upscale photo.jpg -o large.webp -s 2
  sr3 upscale photos -o large --json
  sr3 upscale photo.jpg -w 3840 --steps 40 --seed -1
  sr3 upscale photo.jpg --samples 8
  sr3 upscale photo.jpg -n my-model.safetensors --sampler ancestral --steps 200
  sr3 upscale face.png -n face-16-128,face-64-256 -s 16 --steps 100,20
  sr3 upscale scan.png -n my-model.safetensors --input-blur 0.8 --input-jpeg 60
  sr3 upscale photos -o large --nats nats://10.0.0.5:4222
  curl -s https://example.org/a.png | sr3 upscale - > a4.png`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.inputs = append(f.inputs, args...)
			return f.run(cmd, s)
		},
	}
	f.register(cmd)
	return cmd
}

// register declares the flags. Their letters are those that upscalers built on
// ncnn share.
func (f *upscaleFlags) register(cmd *cobra.Command) {
	fl, o := cmd.Flags(), &f.options
	fl.StringArrayVarP(&f.inputs, "input", "i", nil, "another way to give IN")
	fl.StringVarP(&f.output, "output", "o", "", "file or folder to write; - for standard output")
	fl.Float64VarP(&o.Scale, "scale", "s", 0, "how many times larger, 1 or more (default: the model's)")
	fl.IntVarP(&o.Width, "width", "w", 0, "width of the result in pixels, instead of -s")
	fl.IntVar(&o.Height, "height", 0, "height of the result in pixels; with -w too the image may be distorted")
	fl.StringVarP(&f.model, "model", "n", model.DefaultName, "model by name or file, see \"sr3 model list\"; several joined by commas, or a cascade file, enlarge in stages")
	addModelsDir(fl, &f.modelsDir)
	fl.IntSliceVar(&f.steps, "steps", nil, "refinement steps; for a cascade one number, or one for each of its models, 0 for its own: 100,20 (default: the model's)")
	fl.StringVar(&o.Sampler, "sampler", "", "ancestral, ddim, dpmpp-2m, heun or unipc (default: the model's)")
	fl.StringVar(&o.Schedule, "schedule", "", "inference noise schedule: paper, training or logsnr (default: the model's)")
	fl.Float64Var(&o.Eta, "eta", 0, "share of fresh noise in ddim and dpmpp-2m, 0 (none) to 1 (default: the model's)")
	fl.Float64Var(&o.Temperature, "temperature", 0, "scale of the noise, to 2; 1 draws from the model's own distribution, less is safer and plainer\n(default: the model's)")
	fl.StringVar(&f.seed, "seed", "0", "number that chooses the result; -1 draws one and prints it")
	fl.BoolVar(&f.consistent, "consistent", false, "make results whose bicubic reduction is the input, to within rounding, or =false not (default: as the model says)")
	f.lost.register(fl)
	fl.IntVar(&f.samples, "samples", 0, "write this many possible results, their mean and a map of where they differ")
	fl.Float64Var(&f.deviation, "deviation-scale", upscale.DefaultDeviationScale, "standard deviation, in 1/255, of the map's lightest colour")
	fl.IntVarP(&o.Tile, "tile", "t", 0, "side of the windows in output pixels; 0 chooses one")
	addThreads(fl, &o.Threads)
	fl.StringVarP(&f.format, "format", "f", "", "png, jpg, webp or tiff (default: from -o, else png)")
	fl.IntVarP(&f.quality, "quality", "q", 0, "quality of JPEG, 1 to 100 (default 92)")
	fl.BoolVar(&f.overwrite, "overwrite", false, "replace outputs that exist")
	fl.BoolVar(&f.json, "json", false, "write events to standard output, one JSON object a line")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
	fl.BoolVar(&f.noMetadata, "no-metadata", false, "do not store the settings in the result")
	fl.IntVar(&o.MaxPixels, "max-pixels", 0, "largest result in pixels (default 67108864, 8192x8192)")
	f.nats.register(cmd, "let the workers of this NATS server do it")
	fl.IntVarP(&f.gpu, "gpu", "g", -1, "accepted for compatibility; everything runs on the processor")
}

// run carries the command out.
func (f *upscaleFlags) run(cmd *cobra.Command, s *streams) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	if cmd.Flags().Changed("consistent") {
		f.options.Consistent = &f.consistent
	}
	if cmd.Flags().Changed("gpu") && f.gpu >= 0 {
		fmt.Fprintln(s.err, "sr3: -g: there is no GPU engine; running on the processor")
	}
	if err := inputsExist(f.inputs); err != nil {
		return err
	}
	if f.nats.url != "" {
		return f.runFleet(cmd, s)
	}
	up, err := f.open()
	if err != nil {
		return err
	}
	defer up.Close()
	if err := f.checkModel(up); err != nil {
		return usagef("%w", err)
	}
	list, err := f.plan(up.Scale())
	if err != nil {
		return err
	}
	if !f.quiet && !f.json {
		fmt.Fprintf(s.err, "sr3: %s: %s\n", up.Model().Name, trainedText(up.Model()))
	}
	b := &batch{flags: f, streams: s, up: up, meter: newMeter(s.err, f.quiet || f.json)}
	return b.run(cmd.Context(), list)
}

// check finds what is wrong with the flags themselves.
func (f *upscaleFlags) check(cmd *cobra.Command) error {
	if len(f.inputs) == 0 {
		return usagef("which image? Give a file, a folder, or - for standard input")
	}
	o := &f.options
	if cmd.Flags().Changed("scale") && !(o.Scale >= 1 && o.Scale <= maxScale) {
		return usagef("-s %v: want 1 to %d", o.Scale, maxScale)
	}
	if o.Scale != 0 && (o.Width != 0 || o.Height != 0) {
		return usagef("-s and -w or --height exclude each other")
	}
	for _, c := range []struct {
		flag  string
		value int
	}{{"width", o.Width}, {"height", o.Height}, {"tile", o.Tile}, {"max-pixels", o.MaxPixels}} {
		if c.value < 0 || cmd.Flags().Changed(c.flag) && c.value == 0 && c.flag != "tile" {
			return usagef("--%s %d: want a positive number", c.flag, c.value)
		}
	}
	for _, n := range f.steps {
		if n < 0 || n == 0 && len(f.steps) == 1 {
			return usagef("--steps %d: want a positive number", n)
		}
	}
	if len(f.steps) == 1 {
		o.Steps = f.steps[0]
	}
	if f.quality < 0 || f.quality > 100 || f.quality == 0 && cmd.Flags().Changed("quality") {
		return usagef("-q %d: want 1 to 100", f.quality)
	}
	if err := checkRefinement(o); err != nil {
		return err
	}
	if o.Eta == 0 && cmd.Flags().Changed("eta") {
		o.Eta = upscale.EtaNone
	}
	if err := f.checkSamples(cmd); err != nil {
		return err
	}
	if _, err := (jobRequest{output: f.output, format: f.format}).extension(); err != nil {
		return err
	}
	var err error
	if o.Input, err = f.lost.parse(); err != nil {
		return err
	}
	return f.parseSeed()
}

// checkModel finds what the model cannot do.
func (f *upscaleFlags) checkModel(up *sr3.Upscaler) error {
	if f.samples > 0 {
		return up.CheckSamples(f.options, f.samples)
	}
	return up.Check(f.options)
}

// checkRefinement finds names and numbers that no model could take.
func checkRefinement(o *sr3.Options) error {
	if o.Sampler != "" && !slices.Contains(refine.Samplers(), o.Sampler) {
		return usagef("--sampler %s: want one of %s", o.Sampler, strings.Join(refine.Samplers(), ", "))
	}
	if o.Schedule != "" && !slices.Contains(schedules, o.Schedule) {
		return usagef("--schedule %s: want one of %s", o.Schedule, strings.Join(schedules, ", "))
	}
	if !(o.Eta >= 0 && o.Eta <= 1) {
		return usagef("--eta %v: want 0 to 1", o.Eta)
	}
	if !(o.Temperature >= 0 && o.Temperature <= refine.MaxTemperature) {
		return usagef("--temperature %v: want 0 (the model's own) to %d", o.Temperature, refine.MaxTemperature)
	}
	return nil
}

// parseSeed reads --seed; -1 draws one.
func (f *upscaleFlags) parseSeed() error {
	if f.seed == "-1" {
		var b [4]byte
		if _, err := rand.Read(b[:]); err != nil {
			return fmt.Errorf("draw a seed: %w", err)
		}
		f.options.Seed = uint64(binary.LittleEndian.Uint32(b[:]))
		return nil
	}
	seed, err := strconv.ParseUint(f.seed, 10, 64)
	if err != nil {
		return usagef("--seed %s: want a whole number from 0 to 18446744073709551615, or -1 to draw one", f.seed)
	}
	f.options.Seed = seed
	return nil
}

// open finds the model, or the models of a cascade.
func (f *upscaleFlags) open() (*sr3.Upscaler, error) {
	c, err := cascade.Parse(f.model)
	if err != nil {
		return nil, err
	}
	if err := f.spread(c); err != nil {
		return nil, err
	}
	return sr3.OpenCascade(c, f.finder())
}

// finder finds models by name.
func (f *upscaleFlags) finder() func(name string) (*model.Model, error) {
	return func(name string) (*model.Model, error) { return openModel(name, f.modelsDir) }
}

// spread gives each model of a cascade its number of --steps.
func (f *upscaleFlags) spread(c *cascade.Cascade) error {
	if len(f.steps) < 2 {
		return nil
	}
	if len(f.steps) != len(c.Stages) {
		return usagef("--steps has %s for %s; want one number, or one for each", plural(len(f.steps), "number"), plural(len(c.Stages), "model"))
	}
	for i, n := range f.steps {
		c.Stages[i].Steps = n
	}
	return nil
}

// suffix is what the names of results beside their inputs get.
func (f *upscaleFlags) suffix(modelScale int) string {
	switch o := f.options; {
	case o.Width > 0:
		return fmt.Sprintf("_sr3_w%d", o.Width)
	case o.Height > 0:
		return fmt.Sprintf("_sr3_h%d", o.Height)
	case o.Scale > 0:
		return "_sr3_x" + strconv.FormatFloat(o.Scale, 'f', -1, 64)
	}
	return fmt.Sprintf("_sr3_x%d", modelScale)
}
