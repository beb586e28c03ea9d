package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// turn is one run of one program.
type turn struct {
	Scenario string          `json:"scenario"`
	Program  string          `json:"program"`
	Pair     int             `json:"pair"`
	Seconds  float64         `json:"seconds"`          // what is compared
	Process  float64         `json:"process_s"`        // start to end
	PeakMiB  float64         `json:"peak_rss_mib"`     // largest resident memory of the process
	Output   json.RawMessage `json:"output,omitempty"` // what the program printed about itself
}

// measure gives every program its turns and writes each down.
func (s *settings) measure(ctx context.Context, sc scenario, raw io.Writer) (map[string][]turn, error) {
	turns := map[string][]turn{}
	enc := json.NewEncoder(raw)
	for pair := range s.pairs {
		for _, p := range sc.programs {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(s.pause):
			}
			t, err := p.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			t.Scenario, t.Pair = sc.name, pair
			if err := enc.Encode(t); err != nil {
				return nil, err
			}
			turns[p.name] = append(turns[p.name], t)
		}
	}
	return turns, nil
}

// run runs the program once.
func (p program) run(ctx context.Context) (turn, error) {
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return turn{}, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return turn{}, err
	}
	out := listen(pipe, start)
	err = cmd.Wait()
	t := turn{Program: p.name, Process: time.Since(start).Seconds(), PeakMiB: peakMiB(cmd.ProcessState), Output: out.last}
	if err != nil {
		return t, fmt.Errorf("%s: %w\n%s", strings.Join(p.args, " "), err, complaints.String())
	}
	t.Seconds, err = p.figure(t, out)
	return t, err
}

// heard is what a program printed.
type heard struct {
	last      json.RawMessage // the last line that is a JSON object
	firstStep time.Duration   // when the first step was over; 0 if none was announced
}

// listen reads a program's output to its end.
func listen(r io.Reader, start time.Time) heard {
	var h heard
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		now := time.Since(start)
		var event struct{ Event string }
		if json.Unmarshal(in.Bytes(), &event) != nil {
			continue
		}
		h.last = append(json.RawMessage(nil), in.Bytes()...)
		if event.Event == "step" && h.firstStep == 0 {
			h.firstStep = now
		}
	}
	io.Copy(io.Discard, r) // so that a program with longer lines can end
	return h
}

// figure is the time that counts.
func (p program) figure(t turn, out heard) (float64, error) {
	switch p.clock {
	case process:
		return t.Process, nil
	case firstStep:
		if out.firstStep == 0 {
			return 0, errors.New("it announced no step")
		}
		return out.firstStep.Seconds(), nil
	case reported:
		var said struct {
			MedianS float64 `json:"median_s"`
		}
		if out.last != nil && json.Unmarshal(out.last, &said) == nil && said.MedianS > 0 {
			return said.MedianS, nil
		}
	}
	return t.Process, nil
}
