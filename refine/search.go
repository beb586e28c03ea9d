package refine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Stages of a search, for Trial.Stage.
const (
	StageStart  = "start"  // what the search was given, and where each sampler begins
	StageFamily = "family" // the ends and the curvature of a rho-schedule
	StageLevels = "levels" // every level for itself
)

// Search looks for the best way to refine with a fixed number of denoiser calls. The paper does so over its schedules
// by a grid, judged by FID (section 2.4); dynamic programming (Watson et al., arXiv 2106.03802) is for costs that are
// sums over steps, such as the likelihood bound, and how good a drawn image is is no such sum. So this is a direct
// search over whole refinements:
//
//  1. Samplers race. Each begins with a few rho-schedules (see RhoLevels) and improves the ends, the curvature, the
//     temperature and eta by coordinate descent with a step for each coordinate that grows where it succeeds and shrinks
//     where it does not. After every sweep the worse half of the samplers is dropped.
//  2. The last sampler goes on until its steps are small.
//  3. Its levels are improved one by one, temperature and eta with them.
//
// With the same noise in every call of Score (common random numbers) small differences can be told from chance. The
// search itself has no randomness: same scores, same trials.
type Search struct {
	// Calls is how often the denoiser may be asked, from 1 to 1000.
	Calls int
	// Samplers take part; empty means ddim, dpmpp-2m, unipc and, where Calls allow two steps, heun.
	Samplers []string
	// Start is tried first, and its levels are improved if its sampler wins by less. It must not need more than Calls;
	// nil for none.
	Start *Candidate
	// FixTemperature leaves the temperature alone: it is 1, or that of Start.
	FixTemperature bool
	// Evaluations bounds how often Score is called; 0 means until nothing improves.
	Evaluations int
	// Score judges a candidate, lower being better. NaN or infinity means that it is of no use. An error ends the
	// search, but for ErrNotFinite, which counts as infinity.
	Score func(context.Context, Candidate) (float64, error)
	// OnTrial, if set, is called after every evaluation.
	OnTrial func(Trial)
}

// Trial is one evaluation.
type Trial struct {
	// Number counts from 1. Stage is one of the Stage constants.
	Number int    `json:"number"`
	Stage  string `json:"stage"`
	Candidate
	Score float64 `json:"-"`
	// Best tells that no trial before scored as low.
	Best bool `json:"best,omitempty"`
}

// SearchResult is what a search found.
type SearchResult struct {
	// Best is the trial with the lowest score.
	Best Trial
	// Trials are all, in the order in which they were made.
	Trials []Trial
	// Converged tells that the search ended because nothing improved, and not because of Evaluations.
	Converged bool
}

// ErrNoCandidate is wrapped by the error of a search in which no candidate had a finite score.
var ErrNoCandidate = errors.New("no candidate could be scored")

// errSpent ends a stage when its evaluations are used up.
var errSpent = errors.New("evaluations are used up")

// Run searches. When ctx ends it returns what was found so far together with ctx's error; the result is nil if that is
// nothing.
func (s Search) Run(ctx context.Context) (*SearchResult, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("schedule search: %w", err)
	}
	e := &explorer{Search: s, ctx: ctx, scores: map[string]float64{}, limit: s.Evaluations}
	err := e.explore()
	if err != nil {
		err = fmt.Errorf("schedule search: %w", err)
	}
	if math.IsInf(e.result.Best.Score, 0) || len(e.result.Trials) == 0 {
		return nil, errors.Join(err, fmt.Errorf("schedule search: %w", ErrNoCandidate))
	}
	return &e.result, err
}

// check finds what is wrong with the settings.
func (s Search) check() error {
	if s.Calls < 1 || s.Calls > 1000 {
		return fmt.Errorf("%d calls: want 1 to 1000", s.Calls)
	}
	if s.Score == nil {
		return errors.New("no score is given")
	}
	if s.Evaluations < 0 {
		return fmt.Errorf("%d evaluations: want 1 or more, or 0 for no limit", s.Evaluations)
	}
	if s.Start != nil && s.Start.Calls() > s.Calls {
		return fmt.Errorf("the start makes %d calls, more than %d", s.Start.Calls(), s.Calls)
	}
	for _, name := range s.Samplers {
		if _, err := find(name); err != nil {
			return err
		}
	}
	return nil
}

// explorer is a search under way.
type explorer struct {
	Search
	ctx    context.Context
	scores map[string]float64 // of candidates tried, by their text
	limit  int                // evaluations after which the current stage ends; 0 for none
	result SearchResult
}

// explore goes through the stages.
func (e *explorer) explore() error {
	lanes, err := e.start()
	if err != nil {
		return ignoreSpent(err)
	}
	for round := 0; len(lanes) > 1; round++ {
		for i, lane := range lanes {
			// Rounds of the race take a half of what is left at most, shared by the samplers.
			e.limit = e.share(0.5 / float64(len(lanes)-i))
			if err := e.sweep(lane); err != nil && !errors.Is(err, errSpent) {
				return err
			}
		}
		slices.SortStableFunc(lanes, compareLanes)
		lanes = lanes[:(len(lanes)+1)/2]
	}
	e.limit = e.share(0.4)
	if err := e.descend(lanes[0]); err != nil && !errors.Is(err, errSpent) {
		return err
	}
	return e.refineLevels(lanes[0])
}

// refineLevels is the last stage, from the best point of a sampler's family or from Start where that is better.
func (e *explorer) refineLevels(family *lane) error {
	e.limit = e.Evaluations
	from, score := family.candidate(family.at), family.score
	if s := e.Start; s != nil && s.Sampler == family.sampler {
		if known, ok := e.scores[key(*s)]; ok && known < score {
			from, score = *s, known
		}
	}
	levels, err := newLevelsLane(e.Search, from)
	if err != nil {
		return err
	}
	levels.score = score
	err = e.descend(levels)
	e.result.Converged = err == nil
	return ignoreSpent(err)
}

// share returns the number of evaluations at which a part of what is left will have been spent.
func (e *explorer) share(part float64) int {
	if e.Evaluations == 0 {
		return 0
	}
	spent := len(e.result.Trials)
	return spent + int(math.Ceil(float64(e.Evaluations-spent)*part))
}

func ignoreSpent(err error) error {
	if errors.Is(err, errSpent) {
		return nil
	}
	return err
}

func compareLanes(a, b *lane) int { return cmp.Compare(a.score, b.score) }

// start scores the first candidates and returns a lane for each sampler, at the best of its own.
func (e *explorer) start() ([]*lane, error) {
	if e.Start != nil {
		if _, err := e.score(StageStart, *e.Start); err != nil {
			return nil, err
		}
	}
	var lanes []*lane
	for _, name := range e.samplers() {
		best := newFamilyLane(e.Search, name)
		for _, at := range best.starts() {
			c := best.candidate(at)
			score, err := e.score(StageStart, c)
			if err != nil {
				return nil, err
			}
			if score < best.score {
				best.at, best.score = at, score
			}
		}
		lanes = append(lanes, best)
	}
	slices.SortStableFunc(lanes, compareLanes)
	return lanes, nil
}

// samplers returns those that take part, each once.
func (e *explorer) samplers() []string {
	if len(e.Samplers) == 0 {
		list := []string{SamplerDDIM, SamplerDPMPP2M, SamplerUniPC}
		if StepsFor(SamplerHeun, e.Calls) > 1 {
			list = append(list, SamplerHeun)
		}
		return list
	}
	var list []string
	for _, name := range e.Samplers {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// score evaluates a candidate, or remembers what it scored.
func (e *explorer) score(stage string, c Candidate) (float64, error) {
	text := key(c)
	if score, ok := e.scores[text]; ok {
		return score, nil
	}
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	if e.limit > 0 && len(e.result.Trials) >= e.limit {
		return 0, errSpent
	}
	score, err := e.Score(e.ctx, c)
	if err != nil && !errors.Is(err, ErrNotFinite) {
		return 0, err
	}
	if err != nil || math.IsNaN(score) || math.IsInf(score, 0) {
		score = math.Inf(1)
	}
	e.scores[text] = score
	t := Trial{Number: len(e.result.Trials) + 1, Stage: stage, Candidate: c, Score: score}
	if t.Number == 1 || score < e.result.Best.Score {
		t.Best = !math.IsInf(score, 0)
		e.result.Best = t
	}
	e.result.Trials = append(e.result.Trials, t)
	if e.OnTrial != nil {
		e.OnTrial(t)
	}
	return score, nil
}

// key tells candidates apart.
func key(c Candidate) string {
	return fmt.Sprintf("%s %v %v %v", c.Sampler, c.Gammas, c.Eta, c.Temperature)
}
