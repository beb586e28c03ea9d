package cli

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/eval"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/resample"
	"github.com/sr3-go/sr3/study"
)

// studyNewFlags is the command line of "sr3 study new".
type studyNewFlags struct {
	data      eval.Data
	methods   []string
	manifest  study.Manifest
	task      int
	display   time.Duration
	timeout   time.Duration
	mixed     bool
	lowShown  string
	modelsDir string
	threads   int
	quiet     bool
}

func newStudyNew(s *streams) *cobra.Command {
	f := &studyNewFlags{manifest: study.NewManifest()}
	cmd := &cobra.Command{
		Use:   "new FOLDER --originals DIR --method METHOD...",
		Short: "Make a study of images",
		Long: `new makes the folder of a study: it takes the photographs in --originals, reduces
them, or takes the low-resolution images in --low, lets each --method enlarge them or
takes the results that it names, and stores all as plain PNG of one length for each
image. Nothing of the names, sizes and metadata of files reaches those who take part.

A method is one of
  NAME=DIR                      results that exist, found by name
  sr3, sr3:MODEL[,KEY=VALUE...] a model, as in "sr3 eval"; sr3 alone is the built-in one
  regression:MODEL[,...]        a model that computes the result in one pass
  bicubic, lanczos, nearest     filters
The results must have the size of the originals. As in "sr3 eval", originals are
cropped to multiples of --scale, or with --lr 16 --hr 128 become the squares of the
paper's tasks.

--task 1 shows the low-resolution image between the two and asks which is its better
high-quality version; --task 2 shows the two alone and asks which is from a camera.
Pairs are shown for --display 3s and answered when they have gone; --display 0 leaves
them until the answer.

Each subject compares --per-subject images (half of them, 50 at most) of one method,
as in the paper; with --mixed of all methods. Nobody sees an image twice. --catch adds
trials whose wrong side is so coarse that only who does not look takes it; subjects
who fail more than --max-catch-errors of them are left out of the report, which says
so. Fix that number before you see answers.

The texts in study.toml may be edited before the study begins; the consent sentence
should say what is true of yours.`,
		Example: `  sr3 study new faces --originals photos --lr 16 --hr 128 --task 1 --catch 3 \
    --method regression:faces-twin --method sr3:faces --method pulse=results/pulse
  sr3 study new x4 --originals photos --task 2 --method sr3 --method bicubic`,
		Args: nArgs(1, "the folder to make"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, s, args[0]) },
	}
	f.register(cmd)
	return cmd
}

func (f *studyNewFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	m := &f.manifest
	fl.StringVar(&f.data.Dir, "originals", "", "the folder of photographs")
	fl.StringVar(&f.data.LRDir, "low", "", "a folder of low-resolution images with their names (default: made)")
	fl.StringArrayVar(&f.methods, "method", nil, "a method; see above")
	fl.IntVar(&f.data.Scale, "scale", 0, "how many times smaller the low-resolution images are (default 4)")
	fl.IntVar(&f.data.LRSide, "lr", 0, "side of square low-resolution images, with --hr")
	fl.IntVar(&f.data.HRSide, "hr", 0, "side of square originals, with --lr")
	fl.IntVar(&f.data.Limit, "limit", 0, "take only the first images by name")
	fl.IntVar(&f.task, "task", 1, "1: with the low-resolution image, 2: without")
	fl.DurationVar(&f.display, "display", 3*time.Second, "how long a pair is shown; 0: until answered")
	fl.BoolVar(&m.EarlyAnswers, "early-answers", false, "let people answer while the pair is still shown")
	fl.DurationVar(&f.timeout, "timeout", 0, "how long to wait for an answer after the pair has gone; 0: for ever")
	fl.IntVar(&m.PerSubject, "per-subject", 0, "images that each subject compares (default half of them, at most 50)")
	fl.IntVar(&m.Catch, "catch", 0, "catch trials of each subject")
	fl.IntVar(&m.MaxCatchErrors, "max-catch-errors", m.MaxCatchErrors, "failed catch trials after which a subject does not count; -1: nobody is left out")
	fl.BoolVar(&f.mixed, "mixed", false, "show all methods to each subject")
	fl.Uint64Var(&m.Seed, "seed", 0, "seed of orders and sides (default: drawn)")
	fl.StringVar(&m.Title, "title", m.Title, "title of the pages")
	fl.StringVar(&m.Question, "question", "", "what is asked (default: the paper's question)")
	fl.StringVar(&m.Consent, "consent", m.Consent, "the sentence that subjects agree to")
	fl.StringVar(&m.Contact, "contact", "", "whom subjects can ask, a sentence")
	fl.IntVar(&m.Zoom, "zoom", m.Zoom, "how many times larger images are shown where they fit")
	fl.StringVar(&f.lowShown, "low-shown", resample.Bicubic.String(), "how low-resolution images are enlarged to be shown: bicubic or nearest")
	addModelsDir(fl, &f.modelsDir)
	addThreads(fl, &f.threads)
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
}

// check completes the manifest and finds what is wrong with the command line.
func (f *studyNewFlags) check(cmd *cobra.Command) ([]baseline.Spec, error) {
	m := &f.manifest
	switch {
	case f.data.Dir == "":
		return nil, usagef("--originals is needed: a folder of photographs")
	case len(f.methods) == 0:
		return nil, usagef("--method is needed: try --method sr3 --method bicubic")
	case f.task != 1 && f.task != 2:
		return nil, usagef("--task %d: want 1 or 2", f.task)
	case f.lowShown != resample.Bicubic.String() && f.lowShown != resample.Nearest.String():
		return nil, usagef("--low-shown %s: want bicubic or nearest", f.lowShown)
	case m.PerSubject < 0 || m.Catch < 0:
		return nil, usagef("--per-subject and --catch cannot be negative")
	case f.display%time.Millisecond != 0 || f.timeout%time.Millisecond != 0:
		return nil, usagef("--display and --timeout are whole milliseconds")
	}
	m.Task = foolrate.Task(f.task)
	m.DisplayMS, m.TimeoutMS = int(f.display.Milliseconds()), int(f.timeout.Milliseconds())
	if f.mixed {
		m.Allocation = foolrate.Mixed
	}
	if !cmd.Flags().Changed("seed") {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		m.Seed = binary.LittleEndian.Uint64(b[:]) & math.MaxInt64
	}
	if !cmd.Flags().Changed("scale") && f.data.LRSide == 0 && f.data.HRSide == 0 {
		f.data.Scale = 4
	}
	if err := f.data.Validate(); err != nil {
		return nil, usagef("%w", err)
	}
	var specs []baseline.Spec
	for _, text := range f.methods {
		if text == baseline.KindSR3 {
			text += ":" + model.DefaultName
		}
		spec, err := baseline.ParseSpec(text)
		if err != nil {
			return nil, usagef("--%w", err)
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

func (f *studyNewFlags) run(cmd *cobra.Command, s *streams, dir string) error {
	specs, err := f.check(cmd)
	if err != nil {
		return err
	}
	names, err := f.data.Names()
	if err != nil {
		return err
	}
	threads := threadsOrAll(f.threads)
	opener := &baseline.Opener{Threads: threads, OpenModel: func(name string) (*model.Model, error) { return openModel(name, f.modelsDir) }}
	defer opener.Close()
	var methods []baseline.Method
	for _, spec := range specs {
		method, err := opener.Open(spec)
		if err != nil {
			return err
		}
		methods = append(methods, method)
		info := method.Info()
		f.manifest.Methods = append(f.manifest.Methods, study.MethodEntry{Name: info.Name, Settings: info.Settings})
	}
	if err := f.manifest.CheckFor(len(names)); err != nil {
		return usagef("%w", err)
	}
	existed := exists(dir)
	b, err := study.Begin(dir, f.manifest)
	if err != nil {
		return err
	}
	if f.lowShown == resample.Nearest.String() {
		b.LowKernel = resample.Nearest
	}
	b.Threads = threads
	folder, err := f.fill(cmd.Context(), s, b, methods, len(names), threads)
	if err != nil {
		return errors.Join(err, discard(dir, existed))
	}
	m := &folder.Manifest
	fmt.Fprintf(s.out, "%s: %s, %s; each subject has %s, %d of them catch trials\n",
		filepath.Join(dir, study.ManifestFile), plural(len(m.Images), "image"), plural(len(m.Methods), "method"), plural(m.Design().Length(), "trial"), m.Catch)
	fmt.Fprintf(s.out, "next: sr3 study serve %s\n", dir)
	return nil
}

// fill makes the results of all images.
func (f *studyNewFlags) fill(ctx context.Context, s *streams, b *study.Builder, methods []baseline.Method, total, threads int) (*study.Folder, error) {
	meter := newMeter(s.err, f.quiet)
	meter.begin("study")
	defer meter.clear()
	done := 0
	err := f.data.Each(threads, func(name string, original, low *imageio.Image) error {
		var results []*imageio.Image
		for k, method := range methods {
			in := baseline.Input{Name: name, LR: low, Width: original.Width, Height: original.Height}
			in.OnShare = func(share float64) {
				share = (float64(k) + share) / float64(len(methods))
				meter.update((float64(done)+share)/float64(total), fmt.Sprintf("image %d/%d  %s", done+1, total, method.Info().Name))
			}
			out, err := method.Upscale(ctx, in)
			if err != nil {
				return fmt.Errorf("image %s: %w", name, err)
			}
			results = append(results, out)
		}
		done++
		meter.update(float64(done)/float64(total), fmt.Sprintf("image %d/%d", done, total))
		return errors.Join(ctx.Err(), b.Add(name, original, low, results))
	})
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// discard removes what an unfinished study left: the folder if it was made here, or
// what is in it; it was empty.
func discard(dir string, existed bool) error {
	if !existed {
		return os.RemoveAll(dir)
	}
	return os.RemoveAll(filepath.Join(dir, study.ImagesFolder))
}
