package train

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/model"
)

// past is what a run remembers of itself and of those that its weights went through before, for the card. It is part of
// the checkpoint, and nothing that is computed depends on it.
type past struct {
	Before []model.CardRun // oldest first
	// Begins is the model that the weights came from, nil for fresh ones.
	Begins *model.CardOrigin
	// Run is this run, as far as it must be remembered: the rest follows from state and configuration. Nil until the
	// run has begun.
	Run *model.CardRun
}

// pastOf is the past of a run that begins from a model.
func pastOf(m *model.Model) past {
	p := past{Begins: originOf(m)}
	if m.Record != nil {
		p.Before = slices.Clone(m.Record.Runs)
	}
	return p
}

// originOf names a model.
func originOf(m *model.Model) *model.CardOrigin {
	return &model.CardOrigin{Name: m.Config.Name, Digest: m.Digest, Recorded: m.Record != nil && len(m.Record.Runs) > 0}
}

// this is the run itself.
func (p *past) this() *model.CardRun {
	if p.Run == nil {
		p.Run = &model.CardRun{Origin: p.Begins}
	}
	return p.Run
}

// timed counts a step and its time.
func (p *past) timed(d time.Duration) {
	run := p.this()
	run.TimedSteps++
	run.StepSeconds += d.Seconds()
}

func (p *past) encode() (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("history of the run: %w", err)
	}
	return string(text), nil
}

// restorePast reads what encode wrote. A checkpoint that has none remembers that it does not know.
func restorePast(meta map[string]string, step int) (past, error) {
	text, ok := meta[metaPast]
	if !ok {
		return past{Run: &model.CardRun{Changes: []string{fmt.Sprintf("the command and the time of the first %d steps were not recorded", step)}}}, nil
	}
	var p past
	if err := model.CheckRecordSize([]byte(text)); err != nil {
		return p, fmt.Errorf("metadata of the checkpoint: history: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("metadata of the checkpoint: history: %w", err)
	}
	if run := p.this(); run.TimedSteps < 0 || run.TimedSteps > step || !(run.StepSeconds >= 0) || !(run.OtherSeconds >= 0) {
		return p, fmt.Errorf("metadata of the checkpoint: history: %d steps in %v s", run.TimedSteps, run.StepSeconds)
	}
	return p, nil
}

// remember notes that the run was started, by whom and where.
func (r *run) remember() error {
	run := r.state.past.this()
	config, err := r.cfg.TOML()
	if err != nil {
		return err
	}
	if run.Began.IsZero() && r.state.step == 0 {
		run.Began = time.Now().UTC().Truncate(time.Second)
	}
	if run.Config != "" {
		if lines := changedSettings(run.Config, config); len(lines) > 0 {
			run.Changes = append(run.Changes, fmt.Sprintf("after step %d: %s", r.state.step, strings.Join(lines, ", ")))
		}
	}
	run.Config = config
	run.Commands = appendChanged(run.Commands, r.opt.Command)
	run.Versions = appendChanged(run.Versions, r.opt.Program)
	run.Machines = appendChanged(run.Machines, machine(r.cfg.Train.Threads))
	return nil
}

// appendChanged appends a text that is known and not what stands there last.
func appendChanged(list []string, s string) []string {
	if s == "" || len(list) > 0 && list[len(list)-1] == s {
		return list
	}
	return append(list, s)
}

// machine describes what computes. The instruction tier is part of it because results are the same to the last bit
// within one alone.
func machine(threads int) string {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	unit := "threads"
	if threads == 1 {
		unit = "thread"
	}
	name := processorName()
	if name == "" {
		name = "unknown processor"
	}
	return fmt.Sprintf("%s (%s/%s), %d %s, %s instructions", name, runtime.GOOS, runtime.GOARCH, threads, unit, kernel.Active())
}
