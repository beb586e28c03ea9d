package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/eval"
	"github.com/sr3-go/sr3/metric/squeezenet"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// evalFlags is the command line of "sr3 eval".
type evalFlags struct {
	data      eval.Data
	methods   []string
	features  string
	networks  networkFlags
	out       string
	modelsDir string
	own       bool
	sheet     eval.Sheet
	threads   int
	json      bool
	quiet     bool
}

func newEval(s *streams) *cobra.Command {
	f := &evalFlags{}
	cmd := &cobra.Command{
		Use:   "eval --data DIR --method METHOD... --out REPORT",
		Short: "Compare methods on a folder of images and write a report",
		Long: `eval makes a table like the paper's: it reduces the true images in --data, lets
each --method enlarge them, measures the results and writes a report.

A method is one of
  bicubic, lanczos, nearest     filters, byte for byte as Pillow's
  sr3:MODEL[,KEY=VALUE...]      a model by name or file, with settings: steps,
                                sampler, schedule, variance, eta, temperature, seed,
                                tile, overlap; samples=K measures the mean of K draws;
                                consistent=true is "sr3 upscale --consistent"
  regression:MODEL[,...]        a model that computes the result in one pass
  NAME=DIR                      images that another program made, found by name
and is a row of the table in the order given. name=LABEL among the settings of a
model says what the table calls it.

With --scale N (4 if nothing else is said) the sides of the images are cropped at
the right and at the bottom to multiples of N, and reduced by antialiased bicubic.
With --lr 16 --hr 128 the largest centre square is reduced to 128 by averaging
areas, and that to 16 by bicubic: the paper's tasks on faces and ImageNet. With
--lr-dir DIR the inputs are not made but read.

The report is a folder: index.html is one page to look at and to pass on, table.md
the table, results.jsonl a line for each image and method, images/ the results of
models. Every line is on the disk as soon as it is computed: run the same command
again after an interruption, or with more methods or measures, and only what is
missing is computed. Same seeds, same report, but for times.

All rows are measured on the images that all methods have; with --own-images each
is measured on all it has, and rows with fewer are marked. Images that cannot be
read, results that are missing or have the wrong size are listed in the report and
the exit code is 3.

Columns are PSNR, SSIM and consistency as in the paper, PSNR and SSIM of the Y
channel with as many pixels cut from the border as the scale, and MS-SSIM.
--features names an ONNX file of SqueezeNet 1.1 as converted from Caffe and adds
its feature distances, see "sr3 metrics --help".

Columns of published networks need their files, which are not part of the program:
  --inception FILE         FID, KID, IS: pt_inception-2015-12-05-6726825d.pth of
                           pytorch-fid
  --lpips alex:WEIGHTS,HEADS
  --lpips vgg:WEIGHTS,HEADS
                           LPIPS 0.1: torchvision's AlexNet or VGG16 (.pth), and
                           alex.pth or vgg.pth of PerceptualSimilarity
  --classifier KIND:FILE --labels CLASSES.json
                           top-1 and top-5 errors by the protocol of the paper's
                           table 3, with a row for the true images themselves;
                           KIND is resnet50, vgg16, mobilenetv2, inception or
                           alexnet (torchvision's) or squeezenet (ONNX)
The notes below the table name the files. Columns of files that are not the published
ones by their SHA-256 have other names. What Inception-v3 says of each image is kept
in features/, what was classified of models in classified/. Labels are
{"NAME.png": CLASS, ...} or [{"file": "NAME.png", "class_index": CLASS}, ...].`,
		Example: `  sr3 eval --data Set5 --method bicubic --method sr3:photo-x4 --out report
  sr3 eval --data Set5 --out report --features squeezenet1.1.onnx \
    --method bicubic --method imdn=results/imdn \
    --method sr3:photo-x4,steps=4 --method sr3:photo-x4,sampler=ddim,steps=10,seed=1
  sr3 eval --data imagenet --out report --method bicubic --method sr3:photo-x4 \
    --classifier resnet50:resnet50-0676ba61.pth --labels classes.json
  sr3 eval --data faces --lr 16 --hr 128 --method bicubic --method sr3:faces.safetensors --out report`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s) },
	}
	f.register(cmd)
	return cmd
}

func (f *evalFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.data.Dir, "data", "", "the folder of true images")
	fl.IntVar(&f.data.Scale, "scale", 0, "how many times smaller the inputs are (default 4)")
	fl.IntVar(&f.data.LRSide, "lr", 0, "side of square inputs in pixels, with --hr")
	fl.IntVar(&f.data.HRSide, "hr", 0, "side of square truths in pixels, with --lr")
	fl.StringVar(&f.data.LRDir, "lr-dir", "", "a folder of inputs with the names of the true images")
	fl.IntVar(&f.data.Limit, "limit", 0, "take only the first images by name")
	fl.StringArrayVar(&f.methods, "method", nil, "a row of the table; see above")
	fl.StringVar(&f.features, "features", "", "an ONNX file of SqueezeNet 1.1, for feature distances")
	f.networks.register(fl)
	fl.StringVarP(&f.out, "out", "o", "", "the folder of the report")
	fl.BoolVar(&f.own, "own-images", false, "measure each method on all images it has results for")
	fl.StringVar(&f.sheet.Path, "sheet", "", "also write a contact sheet of crops: FILE.png, .webp or .jpg")
	fl.IntVar(&f.sheet.Crops, "sheet-crops", 20, "how many crops are on the contact sheet")
	fl.IntVar(&f.sheet.Side, "sheet-size", 0, "side of these crops in pixels, less what does not divide by the scale; smaller images are shown whole (default 96, at most half an image)")
	addModelsDir(fl, &f.modelsDir)
	addThreads(fl, &f.threads)
	fl.BoolVar(&f.json, "json", false, "write events to standard output, one JSON object a line")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
}

// evalEvent is a line of "sr3 eval --json".
type evalEvent struct {
	Event   string       `json:"event"` // start, row, report
	Methods []string     `json:"methods,omitempty"`
	Again   bool         `json:"again,omitempty"` // an earlier run did it
	Row     *eval.Row    `json:"row,omitempty"`
	Out     string       `json:"out,omitempty"`
	Report  *eval.Report `json:"report,omitempty"`
}

func (f *evalFlags) run(cmd *cobra.Command, s *streams) error {
	specs, err := f.check(cmd)
	if err != nil {
		return err
	}
	cfg := eval.Config{Data: f.data, Out: f.out, Threads: threadsOrAll(f.threads), Own: f.own, Sheet: f.sheet}
	opener := &baseline.Opener{Threads: cfg.Threads, OpenModel: func(name string) (*model.Model, error) { return openModel(name, f.modelsDir) }}
	defer opener.Close()
	start := evalEvent{Event: "start", Out: f.out}
	for _, spec := range specs {
		m, err := opener.Open(spec)
		if err != nil {
			return err
		}
		cfg.Methods = append(cfg.Methods, m)
		start.Methods = append(start.Methods, m.Info().Name)
	}
	if err := f.addMeasures(&cfg); err != nil {
		return err
	}
	f.emit(s, start)
	m := f.watch(s, &cfg)
	r, err := eval.Run(cmd.Context(), cfg)
	m.clear()
	if errors.Is(err, context.Canceled) && !f.quiet {
		fmt.Fprintln(s.err, "sr3: what is done is kept; the same command goes on")
	}
	if r == nil {
		return err
	}
	missing := f.finish(s, r) // the report stands without its contact sheet too
	return cmp.Or(err, missing)
}

// check finds what is wrong with the command line before anything is opened.
func (f *evalFlags) check(cmd *cobra.Command) ([]baseline.Spec, error) {
	switch {
	case f.data.Dir == "":
		return nil, usagef("--data is needed: a folder of true images")
	case f.out == "":
		return nil, usagef("--out is needed: the folder of the report")
	case len(f.methods) == 0:
		return nil, usagef("--method is needed, for each row of the table one: try --method bicubic --method sr3:%s", model.DefaultName)
	}
	if !cmd.Flags().Changed("scale") && f.data.LRSide == 0 && f.data.HRSide == 0 {
		f.data.Scale = 4
	}
	if err := f.data.Validate(); err != nil {
		return nil, usagef("%w", err)
	}
	if err := f.checkSheet(cmd); err != nil {
		return nil, err
	}
	var specs []baseline.Spec
	for _, text := range f.methods {
		spec, err := baseline.ParseSpec(text)
		if err != nil {
			return nil, usagef("--%w", err)
		}
		specs = append(specs, spec)
	}
	return specs, f.networks.check()
}

// checkSheet finds out whether the contact sheet can be made.
func (f *evalFlags) checkSheet(cmd *cobra.Command) error {
	if f.sheet.Path == "" {
		for _, flag := range []string{"sheet-size", "sheet-crops"} {
			if cmd.Flags().Changed(flag) {
				return usagef("--%s is for a contact sheet; give --sheet the file to write it to", flag)
			}
		}
		return nil
	}
	format, err := imageio.FormatOf(f.sheet.Path)
	if err != nil {
		return usagef("--sheet: %w", err)
	}
	side, crops := f.sheet.TileSide(), f.sheet.Crops
	switch {
	case crops < 1 || crops > 200:
		return usagef("--sheet-crops %d: want 1 to 200", crops)
	case side < 1 || side > 512:
		return usagef("--sheet-size %d: want 1 to 512", side)
	case side < f.data.Factor():
		return usagef("--sheet-size %d: crops lie on whole pixels of the inputs, so want %d, the scale, or more", side, f.data.Factor())
	}
	w, h := f.sheet.Size(len(f.methods))
	what := fmt.Sprintf("--sheet %s: %s of %d pixels for %s make a sheet of %dx%d pixels", f.sheet.Path, plural(crops, "crop"), side, plural(len(f.methods), "method"), w, h)
	switch limit := imageio.MaxSide(format); {
	case max(w, h) > limit:
		return usagef("%s, and this format holds sides of at most %d; lower --sheet-crops or --sheet-size, or write PNG", what, limit)
	case w*h > upscale.DefaultMaxPixels:
		return usagef("%s, and %d pixels is the limit; lower --sheet-crops or --sheet-size", what, upscale.DefaultMaxPixels)
	}
	return nil
}

// addMeasures chooses the columns of the table.
func (f *evalFlags) addMeasures(cfg *eval.Config) error {
	cfg.Measures = slices.Concat(eval.StandardMeasures(), eval.LumaMeasures(), []eval.Measure{eval.MultiScaleSSIM()})
	if f.features == "" {
		return f.networks.add(cfg)
	}
	network, err := squeezenet.Load(f.features)
	if err != nil {
		return err
	}
	version, err := fileDigest(f.features)
	if err != nil {
		return err
	}
	cfg.Measures = append(cfg.Measures, eval.FeatureDistance(network.Distance, version))
	cfg.SetMeasures = append(cfg.SetMeasures, eval.PositionFrechetDistance(network.Positions, version))
	return f.networks.add(cfg)
}

// watch shows progress and failures; the caller clears the meter.
func (f *evalFlags) watch(s *streams, cfg *eval.Config) *meter {
	m := newMeter(s.err, f.quiet || f.json)
	m.begin("eval")
	stage := ""
	cfg.OnProgress = func(p eval.Progress) {
		if p.Stage != stage {
			stage = p.Stage
			m.clear()
			m.begin(stage)
		}
		m.update(p.Share, fmt.Sprintf("image %d/%d  %s", p.Image, p.Images, p.Method))
	}
	cfg.OnRow = func(row eval.Row, again bool) {
		f.emit(s, evalEvent{Event: "row", Row: &row, Again: again})
		if row.Error != "" {
			m.clear()
			fmt.Fprintf(s.err, "sr3: %s: %s\n", row.Image, row.Error)
		}
	}
	return m
}

func (f *evalFlags) emit(s *streams, e evalEvent) {
	if f.json {
		_ = writeJSON(s.out, e) // a reader that went away shows up in the exit code of the pipe
	}
}

// finish prints the table and says whether something is missing from it.
func (f *evalFlags) finish(s *streams, r *eval.Report) error {
	f.emit(s, evalEvent{Event: "report", Out: f.out, Report: r})
	if !f.json {
		fmt.Fprint(s.out, r.Text())
		fmt.Fprintf(s.out, "\n%s\n", filepath.Join(f.out, eval.PageFile))
	}
	failed := map[string]bool{}
	for _, p := range r.Problems {
		failed[p.Image] = true
	}
	if len(failed) > 0 {
		return &partialError{len(failed), r.Images}
	}
	return nil
}

// fileDigest identifies a file.
func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, cause(err))
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
