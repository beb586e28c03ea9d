package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestSummarise(t *testing.T) {
	sc := scenario{name: "work", programs: []program{{name: "a"}, {name: "b"}}}
	turns := map[string][]turn{}
	for i, s := range []float64{2, 1, 9} {
		turns["a"] = append(turns["a"], turn{Seconds: s, PeakMiB: 10})
		turns["b"] = append(turns["b"], turn{Seconds: []float64{6, 5, 9}[i], PeakMiB: 40})
	}
	got := summarise(sc, turns)[0]
	if got.seconds != 2 || got.otherS != 6 || got.ratio != 3 || got.low != 1 || got.high != 5 || got.spread != 4 {
		t.Errorf("%+v", got)
	}
	var text bytes.Buffer
	if err := printTable(&text, []line{got}); err != nil {
		t.Fatal(err)
	}
	if want := "| work | a | 2 (400%) | b | 6 (67%) | 3.00 (1.00 to 5.00) | 10 | 40 | 0.25 |"; !strings.Contains(text.String(), want) {
		t.Errorf("got\n%s\nwant a line\n%s", &text, want)
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("median %v", m)
	}
}

// script writes a shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgramsTakeTurns(t *testing.T) {
	a := script(t, `echo note; echo '{"median_s":0.25}'`)
	b := script(t, `echo '{"median_s":0.5}'`)
	s := settings{pairs: 2, runs: 1, raw: filepath.Join(t.TempDir(), "raw.jsonl")}
	var out bytes.Buffer
	if err := s.run(t.Context(), []string{"first=" + a, "second=" + b + " -x"}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "2.00 (2.00 to 2.00)") {
		t.Errorf("the table is\n%s", &out)
	}
	raw, err := os.ReadFile(s.raw)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var one turn
		if err := dec.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		order = append(order, one.Program)
		if one.Process <= 0 || runtime.GOOS == "linux" && one.PeakMiB <= 0 {
			t.Errorf("%+v", one)
		}
	}
	if strings.Join(order, " ") != "first second first second" {
		t.Errorf("turns %v", order)
	}
}

func TestClocks(t *testing.T) {
	p := program{name: "p", args: []string{script(t, `echo '{"event":"start"}'; echo '{"event":"step"}'; sleep 0.2; echo '{"event":"step"}'`)}}
	p.clock = firstStep
	one, err := p.run(t.Context())
	if err != nil || one.Seconds > one.Process-0.15 {
		t.Errorf("first step after %v of %v (%v)", one.Seconds, one.Process, err)
	}
	p.clock = process
	if one, err := p.run(t.Context()); err != nil || one.Seconds != one.Process {
		t.Errorf("%+v, %v", one, err)
	}
	failing := program{name: "p", args: []string{script(t, `echo reason >&2; exit 3`)}}
	if _, err := failing.run(t.Context()); err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("got %v", err)
	}
}

func TestMissingPeersAreNamed(t *testing.T) {
	t.Chdir("../..")
	for only, want := range map[string]string{"forward-2": "npm i onnxruntime-node", "train": "python3-torch", "nothing": "--list"} {
		s := settings{pairs: 1, runs: 1, only: only, ort: t.TempDir(), python: "no-such-python", work: t.TempDir()}
		if err := s.run(t.Context(), nil, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", only, err, want)
		}
	}
}
