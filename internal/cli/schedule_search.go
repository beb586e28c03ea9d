package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/tune"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

// searchFlags are the settings of "sr3 schedule search".
type searchFlags struct {
	data            string
	calls           int
	samplers        []string
	images, crop    int
	budget          time.Duration
	evaluations     int
	keepTemperature bool
	spreadWeight    float64
	seed            uint64
	log             string
	output, dtype   string
	overwrite       bool
	modelsDir       string
	threads         int
	json, quiet     bool
}

func newScheduleSearch(s *streams) *cobra.Command {
	f := &searchFlags{}
	cmd := &cobra.Command{
		Use:   "search MODEL --data HELD_OUT [--calls 10] [-o FILE.safetensors]",
		Short: "Find the best way to refine in few calls of the network, and store it",
		Long: `search looks for the noise levels, the sampler, its eta and the temperature with which
a model draws best in a fixed number of calls, and stores them in a copy of the
model. The paper chose its schedules so, too, by a grid.

Crops of images that the model was not trained on (--data) are reduced by the
paper's bicubic filter and enlarged again twice, with different noise. Judge is the
energy score, with distances between local patches of a normalized Laplacian
pyramid:

  error    mean distance of a draw from the truth
  spread   mean distance of two draws
  score    error - spread/2; lower is better

It is a proper scoring rule: no distribution scores better on average than the one
that the truth comes from. Blur, which PSNR would choose, loses (spread below
error), and so does grain (spread above error). PSNR stands beside it. It sees how
much texture there is better than whether it is the right kind, so a model that
fills in grain for texture is not punished as people would. --spread-weight below 1
counts the spread less and favours draws that are each near the truth: plainer, with
less made up, and less than the honest variety.

Samplers race: each improves the ends and the curvature of its levels, temperature
and eta; the worse half is dropped after each round. Then the winner's levels move
one by one. The best three of their kind and the model's present settings are
scored again on other crops with other noise, and the best there is taken.

--budget is turned into a number of evaluations when the speed is known; the same
--evaluations give the same result. With --log an interrupted search goes on where
it was, by the same command with the same --evaluations.

A temperature below 1 is a remedy for networks that leave noise: draws lie closer to
their mean and show less of what is uncertain. --keep-temperature leaves it at 1.`,
		Example: `  sr3 schedule search photo-x4 --data held-out -o tuned.safetensors
  sr3 schedule search runs/mine/model.safetensors --data held-out --calls 4 --budget 20m -o four.safetensors
  sr3 schedule search photo-x4 --data held-out --samplers dpmpp-2m,unipc --images 32 --evaluations 100 --log search.jsonl`,
		Args: nArgs(1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, s, args[0]) },
	}
	f.register(cmd.Flags())
	return cmd
}

func (f *searchFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.data, "data", "", "folder of true images that the model was not trained on")
	fl.IntVar(&f.calls, "calls", 10, "calls of the network for an image (heun makes two a step, the others one)")
	fl.StringSliceVar(&f.samplers, "samplers", nil, "samplers that take part (default ddim,dpmpp-2m,unipc,heun)")
	fl.IntVar(&f.images, "images", 16, "crops to score on, each of another image as far as there are enough")
	fl.IntVar(&f.crop, "crop", 128, "side of the crops in pixels of the result")
	fl.DurationVar(&f.budget, "budget", 10*time.Minute, "time to spend, about")
	fl.IntVar(&f.evaluations, "evaluations", 0, "number of settings to score, instead of --budget")
	fl.BoolVar(&f.keepTemperature, "keep-temperature", false, "leave the temperature at 1")
	fl.Float64Var(&f.spreadWeight, "spread-weight", 1, "weight of the spread in the score, 0 to 1: 1 asks for honest draws, less for safer ones")
	fl.Uint64Var(&f.seed, "seed", 0, "number that chooses crops and noise")
	fl.StringVar(&f.log, "log", "", "file to which everything scored is appended, a JSON object a line; a search goes on from it")
	fl.StringVarP(&f.output, "output", "o", "", "model file to write (default: only print)")
	addCopyType(fl, &f.dtype, "")
	fl.BoolVar(&f.overwrite, "overwrite", false, "replace a file that exists")
	addModelsDir(fl, &f.modelsDir)
	addThreads(fl, &f.threads)
	fl.BoolVar(&f.json, "json", false, "write events to standard output, one JSON object a line")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
}

// check finds what is wrong with the flags themselves.
func (f *searchFlags) check() (checkpoint.DType, error) {
	for _, name := range f.samplers {
		if !slices.Contains(refine.Samplers(), name) {
			return "", usagef("--samplers %s: want some of %s", name, strings.Join(refine.Samplers(), ", "))
		}
	}
	switch {
	case f.data == "":
		return "", usagef("--data is needed: a folder of images that the model was not trained on")
	case f.calls < 1 || f.calls > 1000:
		return "", usagef("--calls %d: want 1 to 1000", f.calls)
	case f.evaluations < 0:
		return "", usagef("--evaluations %d: want a positive number", f.evaluations)
	case f.images < 1 || f.crop < 1:
		return "", usagef("--images %d, --crop %d: want positive numbers", f.images, f.crop)
	case !(f.spreadWeight >= 0 && f.spreadWeight <= 1):
		return "", usagef("--spread-weight %v: want 0 to 1", f.spreadWeight)
	case f.budget <= 0:
		return "", usagef("--budget %v: want a positive time, such as 10m", f.budget)
	}
	as, err := copyType(f.dtype)
	if err == nil && f.output != "" {
		err = checkOutput(f.output, modelExtension, f.overwrite)
	}
	return as, err
}

// searchRun is a search under way.
type searchRun struct {
	*searchFlags
	*streams
	model         *model.Model
	search, check tune.Scorer
	journal       *tune.Journal
	meter         *meter
	entries       []tune.Entry // in the order of the trials
	present       scored       // the model's own settings, on the crops of the search
}

// scored is a candidate with its score on some crops.
type scored struct {
	refine.Candidate
	tune.Score
}

func (f *searchFlags) run(cmd *cobra.Command, s *streams, name string) error {
	as, err := f.check()
	if err != nil {
		return err
	}
	m, err := openModel(name, f.modelsDir)
	if err != nil {
		return err
	}
	r, err := f.prepare(s, m)
	if err != nil {
		return err
	}
	defer r.journal.Close()
	defer r.search.Upscaler.Close()
	started := time.Now()
	found, err := r.find(cmd.Context(), started)
	if err != nil {
		return err
	}
	final, err := r.finals(cmd.Context(), found)
	if err != nil {
		return err
	}
	if err := r.report(found, final, started); err != nil || f.output == "" {
		return err
	}
	best := final[0]
	m.Config.Inference = tune.Settings(m.Config.Inference, best.Candidate)
	if err := addTable(m, r.note(found, final)); err != nil {
		return err
	}
	if f.json {
		s = &streams{in: s.in, out: s.err, err: s.err}
	}
	return saveModel(s, m, f.output, cmp.Or(as, m.Stored))
}

// prepare cuts the crops and opens the journal.
func (f *searchFlags) prepare(s *streams, m *model.Model) (*searchRun, error) {
	if m.Config.Regression() {
		return nil, usagef("model %s is a regression, which refines nothing: there is no schedule to search", m.Config.Name)
	}
	up, err := upscale.New(m)
	if err != nil {
		return nil, err
	}
	threads := threadsOrAll(f.threads)
	data := tune.Data{Dir: f.data, Crops: f.images, Side: f.crop, Scale: m.Config.Scale, Seed: f.seed}
	first, second, err := data.Load(threads)
	if err != nil {
		return nil, err
	}
	r := &searchRun{searchFlags: f, streams: s, model: m, meter: newMeter(s.err, f.quiet || f.json)}
	r.search = tune.Scorer{Upscaler: up, Crops: first, Seed: f.seed, SpreadWeight: f.spreadWeight, Threads: threads}
	// Far from the noise of the search: seeds are counted up from there.
	r.check = r.search
	r.check.Crops, r.check.Seed = second, f.seed+1<<32
	what := fmt.Sprintf("model %.12s, crops %.12s, seed %d, spread weight %g, %s", m.Digest, tune.Digest(first), f.seed, f.spreadWeight, kernel.Active())
	r.journal, err = tune.OpenJournal(f.log, what)
	return r, err
}

// find runs the search until its evaluations or the time are used up.
func (r *searchRun) find(ctx context.Context, started time.Time) (*refine.SearchResult, error) {
	options, err := r.model.Config.RefineOptions()
	if err != nil {
		return nil, err
	}
	if r.present.Candidate, err = refine.CandidateOf(options); err != nil {
		return nil, err
	}
	r.meter.begin("search")
	r.meter.status(fmt.Sprintf("scoring the model's own settings: %v", r.present.Candidate))
	e, err := r.score(ctx, r.present.Candidate)
	if err != nil {
		return nil, err
	}
	r.present.Score = e.Score
	search := refine.Search{
		Calls: r.calls, Samplers: r.samplers, Start: r.start(options), FixTemperature: r.keepTemperature,
		Evaluations: r.evaluations, OnTrial: r.onTrial, Score: r.energy,
	}
	if search.Evaluations == 0 {
		each, err := r.cost(ctx)
		if err != nil {
			return nil, err
		}
		// The check scores four more.
		search.Evaluations = max(int(float64(r.budget-time.Since(started))/float64(max(each, time.Millisecond)))-4, 1)
		if !r.quiet {
			r.meter.clear()
			fmt.Fprintf(r.err, "about %s for each of --evaluations %d\n", shortDuration(each), search.Evaluations)
		}
		limited, cancel := context.WithDeadline(ctx, started.Add(r.budget))
		defer cancel()
		ctx = limited
	}
	r.evaluations = search.Evaluations
	found, err := search.Run(ctx)
	r.meter.clear()
	if found != nil && errors.Is(err, context.DeadlineExceeded) {
		if !r.quiet {
			fmt.Fprintf(r.err, "sr3: the time is used up after %d of %d evaluations\n", len(found.Trials), search.Evaluations)
		}
		return found, nil
	}
	if found == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("nothing could be scored within a --budget of %v; give more time, fewer --images or smaller crops", r.budget)
	}
	if found != nil && err != nil && !r.quiet {
		fmt.Fprintf(r.err, "sr3: best so far: score %.4f, %v\n", found.Best.Score, found.Best.Candidate)
	}
	return found, err
}

// cost returns the time that an evaluation takes: of a part of the crops, by the clock, with settings that make as many
// calls as the search.
func (r *searchRun) cost(ctx context.Context) (time.Duration, error) {
	part := r.search
	part.Crops = part.Crops[:min(2, len(part.Crops))]
	settings := tune.Settings(r.model.Config.Inference, r.present.Candidate)
	began := time.Now()
	if _, err := part.Score(ctx, settings); err != nil && !errors.Is(err, refine.ErrNotFinite) {
		return 0, err
	}
	share := float64(len(r.search.Crops)) / float64(len(part.Crops)) * float64(r.calls) / float64(max(r.present.Calls(), 1))
	return time.Duration(float64(time.Since(began)) * share), nil
}

// start is the model's own sampler and schedule in the number of calls that are searched for, if it can be had.
func (r *searchRun) start(o refine.Options) *refine.Candidate {
	if r.keepTemperature {
		o.Temperature = 1
	}
	o.Steps = refine.StepsFor(r.present.Sampler, r.calls)
	c, err := refine.CandidateOf(o)
	if err != nil {
		return nil
	}
	return &c
}

// score scores a candidate on the crops of the search, or looks it up.
func (r *searchRun) score(ctx context.Context, c refine.Candidate) (tune.Entry, error) {
	if e, ok := r.journal.Find(c); ok {
		return e, nil
	}
	score, err := r.search.Score(ctx, tune.Settings(r.model.Config.Inference, c))
	e := tune.Entry{Candidate: c, Score: score, Failed: errors.Is(err, refine.ErrNotFinite)}
	if err != nil && !e.Failed {
		return e, err
	}
	return e, r.journal.Add(e)
}

// energy is the score of the search.
func (r *searchRun) energy(ctx context.Context, c refine.Candidate) (float64, error) {
	e, err := r.score(ctx, c)
	if err != nil {
		return 0, err
	}
	if e.Failed {
		return math.Inf(1), nil
	}
	r.entries = append(r.entries, e)
	return e.Value, nil
}

// searchEvent is a line of "sr3 schedule search --json".
type searchEvent struct {
	Event string `json:"event"` // trial, check
	*refine.Trial
	refine.Candidate
	Score  *float64 `json:"score"` // null where results made no sense
	Error  float64  `json:"error"`
	Spread float64  `json:"spread"`
	PSNR   float64  `json:"psnr"`
}

// onTrial shows progress.
func (r *searchRun) onTrial(t refine.Trial) {
	var e tune.Entry
	if len(r.entries) > 0 && !math.IsInf(t.Score, 0) {
		e = r.entries[len(r.entries)-1]
	}
	if r.json {
		event := searchEvent{Event: "trial", Trial: &t, Candidate: t.Candidate, Error: e.Error, Spread: e.Spread, PSNR: e.PSNR}
		if !math.IsInf(t.Score, 0) {
			event.Score = &t.Score
		}
		_ = writeJSON(r.out, event) // a reader that went away shows up in the exit code of the pipe
	}
	if t.Best && !r.quiet && !r.json {
		r.meter.clear()
		fmt.Fprintf(r.err, "%4d  %-6s  score %.4f  spread/error %.2f  PSNR %.2f  %v\n", t.Number, t.Stage, t.Score, ratio(e.Score), e.PSNR, t.Candidate)
	}
	r.meter.update(float64(t.Number)/float64(r.evaluations), fmt.Sprintf("%d/%d %s", t.Number, r.evaluations, t.Stage))
}

// ratio says how the spread relates to the error.
func ratio(s tune.Score) float64 { return s.Spread / max(s.Error, 1e-9) }

// finalists are the model's own settings and three others: the best of a sampler and of a stage each, so that they differ
// in more than a level, and one that is best by chance has others beside it.
func (r *searchRun) finalists(found *refine.SearchResult) []scored {
	trials := slices.Clone(found.Trials)
	slices.SortStableFunc(trials, func(a, b refine.Trial) int { return cmp.Compare(a.Score, b.Score) })
	list := []scored{r.present}
	taken := map[string]bool{}
	for _, t := range trials {
		kind := fmt.Sprint(t.Sampler, t.Stage == refine.StageLevels)
		if len(list) < 4 && !taken[kind] && !math.IsInf(t.Score, 0) && !r.isPresent(scored{Candidate: t.Candidate}) {
			taken[kind] = true
			list = append(list, scored{Candidate: t.Candidate})
		}
	}
	return list
}

// finals scores the finalists again on the crops of the check, and sorts them, best first. The model's own settings take
// part if they need no more calls; else they come last. Settings whose results make no sense there are left out.
func (r *searchRun) finals(ctx context.Context, found *refine.SearchResult) ([]scored, error) {
	var list []scored
	var failed error
	finalists := r.finalists(found)
	r.present.Score = tune.Score{}
	r.meter.begin("check")
	for i, c := range finalists {
		r.meter.update(float64(i)/float64(len(finalists)), fmt.Sprintf("%d/%d", i+1, len(finalists)))
		var err error
		c.Score, err = r.check.Score(ctx, tune.Settings(r.model.Config.Inference, c.Candidate))
		if errors.Is(err, refine.ErrNotFinite) {
			failed = fmt.Errorf("check of %v: %w", c.Candidate, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if i == 0 {
			r.present.Score = c.Score
		}
		list = append(list, c)
	}
	r.meter.clear()
	if len(list) == 0 {
		return nil, failed
	}
	slices.SortStableFunc(list, func(a, b scored) int {
		if fits := (a.Calls() <= r.calls) == (b.Calls() <= r.calls); !fits {
			return cmp.Compare(a.Calls(), b.Calls())
		}
		return cmp.Compare(a.Value, b.Value)
	})
	return list, nil
}
