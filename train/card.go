package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// card describes the model, as far as the run knows it. chosen is a sentence on why these weights, or empty.
func (r *run) card(chosen string) model.Card {
	c := r.cfg
	summary := fmt.Sprintf("Moving average (decay %g) of the weights after %d steps of %d examples, crops of %dx%d pixels.",
		c.Train.EMA, r.state.step, c.Train.Batch, c.Data.Crop, c.Data.Crop)
	if c.regression() {
		summary = "The Regression baseline of the SR3 paper: the same kind of network as a model that refines, trained to map the image enlarged by bicubic to the result in one call.\n\n" + summary
	}
	if c.unconditional() {
		summary = "An unconditional diffusion model: it makes images from noise alone (DDPM; the start of the cascades of the SR3 paper, section 4.3).\n\n" + summary
	}
	if chosen != "" {
		summary += " " + chosen
	}
	card := model.Card{
		Name: c.Model.Name, Scale: c.Model.Scale, Parameters: unet.Count(r.state.params), Licence: c.Model.Licence, Use: c.Model.TrainedFor,
		Summary: summary, Regression: c.regression(), Unconditional: c.unconditional(),
		Network: fmt.Sprintf("%s, %d channels times %v, %d blocks a level", c.Model.Family, c.Model.Channels, c.Model.Multipliers, c.Model.Blocks),
	}
	if !c.unconditional() {
		card.Limits = inputLimits(modelCondition(c))
	}
	if r.predictor != nil {
		card.Parameters += r.predictor.Parameters()
		card.Predictor = r.predictor.Record
	}
	card.Runs = append(append(card.Runs, r.state.past.Before...), r.cardRun())
	card.Gather()
	return card
}

// cardRun is the run as it stands.
func (r *run) cardRun() model.CardRun {
	run, s, t := *r.state.past.this(), r.state, r.cfg.Train
	run.Name, run.Learns = r.cfg.Model.Name, r.cfg.learns()
	run.Seed, run.Steps, run.Batch, run.Crop, run.Images = t.Seed, s.step, t.Batch, r.cfg.Data.Crop, s.images
	run.Saved = time.Now().UTC().Truncate(time.Second)
	run.StepSeconds, run.OtherSeconds = math.Round(run.StepSeconds*10)/10, math.Round(run.OtherSeconds*10)/10
	run.Data, run.HeldOut, run.DataNotes = r.survey.report()
	if n := len(r.drawer.set.Unusable()); n > 0 {
		run.DataNotes = append(run.DataNotes, fmt.Sprintf("%d of the training images were too small or could not be read, and were left out; log.txt of the run names them.", n))
	}
	var err error
	if run.Curve, err = readCurve(filepath.Join(r.opt.OutDir, statsFile), s.step); err != nil {
		r.journal.note(err)
	}
	return run
}

// unrecorded reports whether the model in the run directory is of an earlier version, without a record.
func (r *run) unrecorded() bool {
	info, err := checkpoint.ReadInfo(filepath.Join(r.opt.OutDir, modelFile))
	return err == nil && info.Meta[model.RecordKey] == ""
}

// learns says what the network is taught.
func (c Config) learns() string {
	what := fmt.Sprintf("%s prediction", c.objective().Prediction)
	if c.regression() {
		what = "regression"
	}
	return fmt.Sprintf("%s, %s loss, %s at %g (%s)", what, c.Diffusion.Loss, c.Train.optimizerName(), c.Train.Rate, c.Train.Decay) + c.adversaryText()
}

func (t TrainConfig) optimizerName() string {
	if t.Optimizer == OptimizerMuon {
		return "Muon"
	}
	return "Adam"
}

// curvePoints is about how many points of the curve are kept.
const curvePoints = 120

// readCurve reads the losses up to a step from stats.jsonl.
func readCurve(path string, step int) ([]model.CurvePoint, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the curve: %w", err)
	}
	var points []model.CurvePoint
	for line := range bytes.Lines(data) {
		var rec record
		if json.Unmarshal(line, &rec) == nil && rec.Step <= step {
			points = append(points, model.CurvePoint{Step: rec.Step, Loss: rec.Loss, Val: rec.LossVal, PSNR: rec.PSNRVal})
		}
	}
	points = model.ThinCurve(points, curvePoints)
	for i, p := range points {
		points[i] = model.CurvePoint{Step: p.Step, Loss: digits(p.Loss), Val: digits(p.Val), PSNR: digits(p.PSNR)}
	}
	return points, nil
}

// digits rounds to five of them: more would be noise and make the file larger.
func digits(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	return v
}

// drawCurve writes the picture of the curve into the run directory.
func (r *run) drawCurve() error {
	points, err := readCurve(filepath.Join(r.opt.OutDir, statsFile), r.state.step)
	svg := model.CardRun{Curve: points}.CurveSVG()
	if err != nil || svg == "" {
		return err
	}
	return runfiles.WriteAtomic(filepath.Join(r.opt.OutDir, curveFile), func(w io.Writer) error {
		_, err := io.WriteString(w, svg)
		return err
	})
}
