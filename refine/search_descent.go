package refine

import (
	"math"
	"slices"
)

// Bounds of what is searched.
const (
	searchCleanest    = 10.0  // largest log-SNR of the last level before the clean image: noise of 0.9 grey levels of 255
	searchNoisiest    = -12.0 // smallest log-SNR of the first level
	searchApart       = 0.02  // least distance of two levels in log-SNR
	searchCurvature   = 1.5
	searchMinTemp     = 0.2
	searchMaxTemp     = 1.0 // a search may narrow what the model draws, not widen it
	searchGrow        = 1.6 // of a step that succeeded
	searchShrink      = 0.5 // of a step that did not
	searchResolution  = 0.1 // a coordinate rests when its step is this part of the first one
	searchRoundDigits = 1e4 // coordinates are multiples of 1/searchRoundDigits, so that candidates can be told in a log
)

// coordinate is one number of a point in a search.
type coordinate struct {
	low, high float64
	step      float64 // with the sign of the direction that succeeded last
	least     float64 // steps below this are not tried
	first     float64 // where a knob begins, see knobs
}

func newCoordinate(low, high, step float64) coordinate {
	return coordinate{low: low, high: high, step: step, least: math.Abs(step) * searchResolution}
}

// resting tells that the coordinate is as good as its resolution.
func (c coordinate) resting() bool { return math.Abs(c.step) < c.least }

// move returns v moved by the step, in the given direction (1 or -1) of it, within bounds and rounded.
func (c coordinate) move(v, direction float64) float64 {
	moved := min(max(v+direction*c.step, c.low), c.high)
	return math.Round(moved*searchRoundDigits) / searchRoundDigits
}

// lane is a sampler on its way: a point, what the point stands for, and how far it is moved.
type lane struct {
	sampler     string
	stage       string
	coordinates []coordinate
	at          []float64
	score       float64 // of at
	// candidate returns what a point stands for. Its levels may be invalid, see valid.
	candidate func(at []float64) Candidate
}

// Coordinates of a family lane. Temperature and eta are there if they are free.
const (
	atCleanest = iota
	atNoisiest
	atCurvature
	familyCoordinates
)

// newFamilyLane returns the rho-schedules of a sampler, not yet scored.
func newFamilyLane(s Search, sampler string) *lane {
	l := &lane{sampler: sampler, stage: StageFamily, score: math.Inf(1)}
	l.coordinates = []coordinate{
		newCoordinate(-4, searchCleanest, -1.5), newCoordinate(searchNoisiest, 2, 2), newCoordinate(-searchCurvature, searchCurvature, 0.25),
	}
	l.coordinates = append(l.coordinates, knobs(s, sampler, 1)...)
	steps := StepsFor(sampler, s.Calls)
	l.candidate = func(at []float64) Candidate {
		c := turned(s, Candidate{Sampler: sampler, Temperature: 1}, at[familyCoordinates:])
		c.Gammas = gammasOf(RhoLevels(steps, at[atCleanest], at[atNoisiest], at[atCurvature]))
		return c
	}
	l.at = l.starts()[0]
	return l
}

// starts are the points at which a family lane begins: levels over the whole range of noise, and fewer near the clean
// image, where networks that were trained too little leave grain.
func (l *lane) starts() [][]float64 {
	ends := [][2]float64{{6, -8}, {3.5, -7}, {2, -9}}
	var list [][]float64
	for _, e := range ends {
		at := make([]float64, len(l.coordinates))
		at[atCleanest], at[atNoisiest] = e[0], e[1]
		for i := familyCoordinates; i < len(at); i++ {
			at[i] = l.coordinates[i].first
		}
		list = append(list, at)
	}
	return list
}

// knobs are the coordinates besides the levels: temperature, then eta.
func knobs(s Search, sampler string, scale float64) []coordinate {
	var list []coordinate
	if !s.FixTemperature {
		c := newCoordinate(searchMinTemp, searchMaxTemp, -0.04*scale)
		c.first = 1
		list = append(list, c)
	}
	if UsesEta(sampler) {
		list = append(list, newCoordinate(0, 1, 0.3*scale))
	}
	return list
}

// turned returns a candidate with the knobs of a point.
func turned(s Search, c Candidate, at []float64) Candidate {
	if !s.FixTemperature {
		c.Temperature, at = at[0], at[1:]
	}
	if UsesEta(c.Sampler) {
		c.Eta = at[0]
	}
	return c
}

// newLevelsLane returns a lane that moves each level of a candidate by itself.
func newLevelsLane(s Search, from Candidate) (*lane, error) {
	schedule, err := from.Schedule().Build(0)
	if err != nil {
		return nil, err
	}
	l := &lane{sampler: from.Sampler, stage: StageLevels, at: logSNRs(schedule)}
	n := len(l.at)
	for i := range n {
		l.coordinates = append(l.coordinates, newCoordinate(searchNoisiest, searchCleanest, 0.4*gapAt(l.at, i)))
	}
	l.coordinates = append(l.coordinates, knobs(s, from.Sampler, 0.5)...)
	if !s.FixTemperature {
		l.at = append(l.at, from.Temperature)
	}
	if UsesEta(from.Sampler) {
		l.at = append(l.at, from.Eta)
	}
	l.candidate = func(at []float64) Candidate {
		c := turned(s, from, at[n:])
		c.Gammas = gammasOf(at[:n])
		return c
	}
	return l, nil
}

// gapAt is the distance of level i to the nearer of its neighbours, at least a little.
func gapAt(levels []float64, i int) float64 {
	gap := 4.0
	if i > 0 {
		gap = min(gap, levels[i-1]-levels[i])
	}
	if i < len(levels)-1 {
		gap = min(gap, levels[i]-levels[i+1])
	}
	return max(gap, 4*searchApart)
}

// resting tells that no coordinate has a step that is worth trying.
func (l *lane) resting() bool {
	return !slices.ContainsFunc(l.coordinates, func(c coordinate) bool { return !c.resting() })
}

// descend sweeps until the lane rests.
func (e *explorer) descend(l *lane) error {
	for !l.resting() {
		if err := e.sweep(l); err != nil {
			return err
		}
	}
	return nil
}

// sweep moves each coordinate once, the way that succeeded last and, if that does not, the other way.
func (e *explorer) sweep(l *lane) error {
	for i := range l.coordinates {
		c := &l.coordinates[i]
		if c.resting() {
			continue
		}
		moved, err := e.try(l, i, 1)
		if err == nil && !moved {
			if moved, err = e.try(l, i, -1); moved {
				c.step = -c.step
			}
		}
		if err != nil {
			return err
		}
		if moved {
			c.step *= searchGrow
		} else {
			c.step *= searchShrink
		}
	}
	return nil
}

// try moves one coordinate if that scores better.
func (e *explorer) try(l *lane, i int, direction float64) (moved bool, err error) {
	at := slices.Clone(l.at)
	at[i] = l.coordinates[i].move(at[i], direction)
	candidate := l.candidate(at)
	if at[i] == l.at[i] || !candidate.valid() {
		return false, nil
	}
	score, err := e.score(l.stage, candidate)
	if err != nil || !(score < l.score) {
		return false, err
	}
	l.at, l.score = at, score
	return true, nil
}
