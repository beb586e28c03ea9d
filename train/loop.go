package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/dataset"
)

// loop is the training loop: Algorithm 1 with the maintenance of the run around it.
func (r *run) loop(ctx context.Context) error {
	batches := dataset.Prefetch(ctx, r.state.step, r.cfg.Data.Workers, r.drawer.examples)
	defer batches.Close()
	r.pace.start()

	for r.state.step < r.cfg.Train.Steps {
		if ctx.Err() != nil {
			return r.stop(ctx)
		}
		// Draw a batch, and for every example its noise level and its noise.
		e, err := batches.Next()
		if err != nil {
			if ctx.Err() != nil {
				return r.stop(ctx)
			}
			return err
		}
		// Take the gradient step, and move the average.
		rate := r.cfg.Train.rate(r.state.step)
		loss, norm := r.stepper.step(e, r.state.hyper())
		if bad(loss) || bad(norm) {
			return r.diverged(loss, norm)
		}
		if c := r.stepper.critic; c != nil {
			// Take the critic's step on the same examples and what the network made of them.
			stats := c.step(e, r.stepper.estimate(), r.state.criticHyper())
			if bad(stats.loss) || bad(stats.norm) {
				return r.diverged(stats.loss, stats.norm)
			}
			stats.share = r.stepper.share()
			r.tally.addCritic(stats)
		}
		r.state.count(loss)

		// Keep people and files up to date.
		r.observe(loss, norm, rate)
		if err := r.maintain(ctx); err != nil {
			if ctx.Err() != nil {
				return r.stop(ctx)
			}
			return err
		}
	}
	return r.finish(ctx)
}

// sayEvery is the time between lines of the log.
const sayEvery = time.Minute

// observe notes the numbers of a step.
func (r *run) observe(loss, norm, rate float64) {
	s := r.state
	r.tally.add(loss, norm)
	perStep := r.pace.step()
	s.past.timed(r.pace.took)
	imagesPerS := float64(r.cfg.Train.Batch) / perStep.Seconds()
	if s.step%r.cfg.Train.LogSteps == 0 || s.step == r.cfg.Train.Steps {
		critic := r.tally.critic.mean(r.tally.n)
		meanLoss, meanNorm := r.tally.take()
		r.journal.record(record{
			CriticLoss: critic.loss, CriticReal: critic.real, CriticFake: critic.fake, AdversaryShare: critic.share,
			Step: s.step, Images: s.images, Loss: meanLoss, LossSmooth: s.loss, GradNorm: meanNorm, Rate: rate,
			ImagesPerS: imagesPerS, SecPerStep: perStep.Seconds(),
		})
	}
	p := Progress{
		Step: s.step, Steps: r.cfg.Train.Steps, Loss: s.loss, ImagesPerS: imagesPerS,
		ETA: time.Duration(r.cfg.Train.Steps-s.step) * perStep,
	}
	r.survey.warn(r.journal)
	if time.Since(r.pace.said) >= sayEvery {
		r.pace.said = time.Now()
		r.journal.printf("%v", p)
	}
	if r.opt.Progress != nil {
		r.opt.Progress(p)
	}
}

// maintain writes checkpoints and pictures when it is time.
func (r *run) maintain(ctx context.Context) error {
	t := r.cfg.Train
	began := time.Now()
	defer func() { r.rest(began) }() // not part of a step's time
	if due(r.pace.sampled, t.SampleEvery) || every(r.state.step, t.SampleSteps) {
		if err := r.sample(ctx); err != nil {
			return err
		}
		r.rest(began) // a checkpoint that is written now knows of it
		began = time.Now()
		r.pace.sampled = began
	}
	if due(r.pace.saved, t.CheckpointEvery) || every(r.state.step, t.CheckpointSteps) {
		if err := r.save(); err != nil {
			return err
		}
		r.pace.saved = time.Now()
	}
	return nil
}

// rest notes the time since began, which was spent between two steps.
func (r *run) rest(began time.Time) {
	r.pace.last = time.Now()
	r.state.past.this().OtherSeconds += r.pace.last.Sub(began).Seconds()
}

// every reports whether step is a multiple of n, never for 0.
func every(step, n int) bool { return n > 0 && step%n == 0 }

// save writes the checkpoint and the model, each replacing the one before when it is complete.
func (r *run) save() error {
	f, err := r.state.file()
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	if _, err := checkpoint.Write(filepath.Join(r.opt.OutDir, checkpointFile), f); err != nil {
		return err
	}
	r.saved = r.state.step
	if mb := r.cfg.Train.ShardMB; mb > 0 {
		if err := writeShards(r.opt.OutDir, r.state.step, f, mb); err != nil {
			return err
		}
	}
	r.journal.note(r.drawCurve())
	return r.export(modelFile, "")
}

// stop saves a run whose context was cancelled.
func (r *run) stop(ctx context.Context) error {
	if r.saved != r.state.step {
		if err := r.save(); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	r.journal.printf("stopped after step %d of %d, saved; to go on: sr3 train --out %s", r.state.step, r.cfg.Train.Steps, r.opt.OutDir)
	return fmt.Errorf("%w after step %d of %d; the run is saved, go on with: sr3 train --out %s (%w)",
		ErrStopped, r.state.step, r.cfg.Train.Steps, r.opt.OutDir, ctx.Err())
}

// finish ends a run that has done its steps.
func (r *run) finish(ctx context.Context) error {
	r.survey.wait(ctx) // so that the card tells of all images
	if r.sampled != r.state.step {
		began := time.Now()
		if err := r.sample(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		r.rest(began)
	}
	if r.saved != r.state.step || r.unrecorded() || r.changed { // a manifest, say, which the card is to tell of
		if err := r.save(); err != nil {
			return err
		}
	}
	if r.changed {
		if err := r.recordBest(); err != nil {
			return err
		}
	}
	r.survey.warn(r.journal)
	r.journal.printf("done: %d steps, %d images, loss %.4f", r.state.step, r.state.images, r.state.loss)
	return nil
}

// bad reports NaN and infinity.
func bad(v float64) bool { return v-v != 0 }

// diverged explains a step that cannot be gone on from. Nothing is saved, so the last checkpoint stays good.
func (r *run) diverged(loss, norm float64) error {
	from := "there is no checkpoint to go back to"
	if r.saved >= 0 {
		from = fmt.Sprintf("the checkpoint of step %d is kept", r.saved)
	}
	err := fmt.Errorf("%w in step %d: loss %v, norm of the gradient %v; %s; go on with a lower train.rate, or with train.clip, or check the images",
		ErrDiverged, r.state.step+1, loss, norm, from)
	r.journal.printf("%v", err)
	return err
}

// tally averages loss and gradient norm between two lines of stats.
type tally struct {
	loss, norm float64
	n          int
	critic     criticStats
}

func (t *tally) addCritic(s criticStats) { t.critic = t.critic.plus(s) }

func (t *tally) add(loss, norm float64) {
	t.loss, t.norm, t.n = t.loss+loss, t.norm+norm, t.n+1
}

func (t *tally) take() (loss, norm float64) {
	loss, norm = t.loss/float64(t.n), t.norm/float64(t.n)
	*t = tally{}
	return loss, norm
}

// pace keeps the time.
type pace struct {
	last    time.Time
	took    time.Duration // the last step
	perStep time.Duration // smoothed
	// when the run was last saved, sampled and spoken of
	saved, sampled, said time.Time
}

func (p *pace) start() {
	now := time.Now()
	*p = pace{last: now, saved: now, sampled: now, said: now}
}

// step returns the smoothed time of a step.
func (p *pace) step() time.Duration {
	now := time.Now()
	d := max(now.Sub(p.last), time.Microsecond)
	p.last, p.took = now, d
	if p.perStep == 0 {
		p.perStep = d
	}
	p.perStep += (d - p.perStep) / 20
	return p.perStep
}

// due reports whether the given minutes have passed since a time, never for 0.
func due(since time.Time, minutes float64) bool {
	return minutes > 0 && time.Since(since).Minutes() >= minutes
}
