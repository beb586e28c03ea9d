package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/internal/tfevents"
)

// The files of a run directory.
const (
	configFile     = "config.toml"
	checkpointFile = "checkpoint.safetensors"
	modelFile      = "model.safetensors"
	bestFile       = "best.safetensors"
	statsFile      = "stats.jsonl"
	curveFile      = "curve.svg"
	logFile        = "log.txt"
	gridFolder     = "grids"
)

// record is a line of stats.jsonl. Losses are means since the line before.
type record struct {
	Step       int     `json:"step"`
	Images     int64   `json:"images"`
	Loss       float64 `json:"loss,omitempty"`
	LossSmooth float64 `json:"loss_smooth,omitempty"`
	GradNorm   float64 `json:"grad_norm,omitempty"`
	Rate       float64 `json:"rate,omitempty"`
	// With an adversary: the critic's loss, its mean logits for truth and estimates, and the norm of the adversarial
	// term's gradient by the prediction as a share of the diffusion loss's.
	CriticLoss     float64 `json:"critic_loss,omitempty"`
	CriticReal     float64 `json:"critic_real,omitempty"`
	CriticFake     float64 `json:"critic_fake,omitempty"`
	AdversaryShare float64 `json:"adversary_share,omitempty"`

	ImagesPerS  float64 `json:"images_per_s,omitempty"`
	SecPerStep  float64 `json:"sec_per_step,omitempty"`
	LossVal     float64 `json:"loss_val,omitempty"`
	PSNRVal     float64 `json:"psnr_val,omitempty"` // of regressions
	SamplePSNR  float64 `json:"sample_psnr,omitempty"`
	BicubicPSNR float64 `json:"bicubic_psnr,omitempty"`
	// PredictorPSNR stands in its place where a predictor makes the conditions.
	PredictorPSNR float64 `json:"predictor_psnr,omitempty"`
	Timestamp     float64 `json:"timestamp"` // seconds since 1970
}

// journal is what a run writes beside its checkpoints. What goes wrong with it is reported at its end: a run should
// not die because a curve could not be written.
type journal struct {
	dir    string
	mu     sync.Mutex // guards the log and errs: images are reported by several goroutines
	extra  io.Writer  // a second place for the log, may be nil
	log    *os.File
	stats  *os.File
	events *tfevents.Writer
	errs   []error
}

// openJournal opens the files of a run directory, to go on after step: what an earlier process noted about later steps
// is forgotten.
func openJournal(dir string, step int, extra io.Writer) (*journal, error) {
	j := &journal{dir: dir, extra: extra}
	stats := filepath.Join(dir, statsFile)
	if err := truncateStats(stats, step); err != nil {
		return nil, err
	}
	var err error
	if j.log, err = openAppend(filepath.Join(dir, logFile)); err != nil {
		return nil, err
	}
	if j.stats, err = openAppend(stats); err != nil {
		j.close()
		return nil, err
	}
	if j.events, err = tfevents.Create(dir, step+1); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

func openAppend(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
}

// truncateStats drops lines about steps after step, and what a kill left of a line.
func truncateStats(path string, step int) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept []byte
	for line := range bytes.Lines(data) {
		var r record
		if json.Unmarshal(line, &r) == nil && line[len(line)-1] == '\n' && r.Step <= step {
			kept = append(kept, line...)
		}
	}
	if len(kept) == len(data) {
		return nil
	}
	return runfiles.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(kept)
		return err
	})
}

// printf writes a line to the log.
func (j *journal) printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...) + "\n"
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := j.log.WriteString(time.Now().Format("2006-01-02 15:04:05 ") + line)
	if j.extra != nil {
		_, err2 := io.WriteString(j.extra, line)
		err = errors.Join(err, err2)
	}
	j.keep(err)
}

// record writes a line of stats, and its numbers to the event file.
func (j *journal) record(r record) {
	r.Timestamp = float64(time.Now().UnixMilli()) / 1e3
	line, err := json.Marshal(r)
	if err == nil {
		_, err = j.stats.Write(append(line, '\n'))
	}
	j.note(err)
	for _, s := range []struct {
		tag   string
		value float64
	}{
		{"loss/train", r.Loss}, {"loss/val", r.LossVal}, {"train/grad_norm", r.GradNorm}, {"train/rate", r.Rate},
		{"adversary/critic_loss", r.CriticLoss}, {"adversary/critic_real", r.CriticReal},
		{"adversary/critic_fake", r.CriticFake}, {"adversary/share", r.AdversaryShare},
		{"time/images_per_s", r.ImagesPerS}, {"metric/psnr_val", r.PSNRVal}, {"metric/sample_psnr", r.SamplePSNR}, {"metric/bicubic_psnr", r.BicubicPSNR},
		{"metric/predictor_psnr", r.PredictorPSNR},
	} {
		if s.value != 0 {
			j.note(j.events.Scalar(s.tag, r.Step, s.value))
		}
	}
	j.note(j.events.Flush())
}

// picture writes a PNG to the grids and to the event file.
func (j *journal) picture(step, width, height int, png []byte) {
	dir := filepath.Join(j.dir, gridFolder)
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		path := filepath.Join(dir, fmt.Sprintf("grid-%08d.png", step))
		err = runfiles.WriteAtomic(path, func(w io.Writer) error {
			_, err := w.Write(png)
			return err
		})
	}
	j.note(err)
	j.note(j.events.Image("img/process", step, width, height, png))
	j.note(j.events.Flush())
}

// note keeps the first few errors.
func (j *journal) note(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(err)
}

// keep is note for callers that hold the lock.
func (j *journal) keep(err error) {
	if err != nil && len(j.errs) < 4 {
		j.errs = append(j.errs, err)
	}
}

// close closes the files and returns what went wrong.
func (j *journal) close() error {
	if j.events != nil {
		j.note(j.events.Close())
	}
	for _, f := range []*os.File{j.stats, j.log} {
		if f != nil {
			j.note(f.Close())
		}
	}
	if err := errors.Join(j.errs...); err != nil {
		return fmt.Errorf("run journal: %w", err)
	}
	return nil
}
