// Command compare measures sr3 beside other programs: the same work with the same
// weights, the programs taking turns (A B A B ...), and prints medians and ratios of
// medians as a table.
//
//	go run ./bench/compare --ort DIR --python /usr/bin/python3        the project's figures
//	go run ./bench/compare --only forward-2,photo --pairs 3           some of them
//	go run ./bench/compare --list                                     what there is
//	go run ./bench/compare old='./old bench unet' new='./new bench unet'
//
// The last form compares any commands, the first with each other one.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

// settings are those of the command line.
type settings struct {
	sr3, ort, node, python string
	work, raw, only        string
	pairs, runs            int
	pause                  time.Duration
	list                   bool
}

func main() {
	var s settings
	flag.StringVar(&s.sr3, "sr3", os.Getenv("SR3_BENCH_SR3"), "the program sr3 ($SR3_BENCH_SR3; default: built from this folder)")
	flag.StringVar(&s.ort, "ort", os.Getenv("SR3_BENCH_ORT"), "folder that holds node_modules/onnxruntime-node ($SR3_BENCH_ORT)")
	flag.StringVar(&s.node, "node", "node", "the program node")
	flag.StringVar(&s.python, "python", envOr("SR3_BENCH_PYTHON", "/usr/bin/python3"), "a Python with PyTorch ($SR3_BENCH_PYTHON)")
	flag.StringVar(&s.work, "work", filepath.Join(os.TempDir(), "sr3-bench"), "folder for weights and exported networks, about 1 GB; kept")
	flag.StringVar(&s.raw, "raw", "", "file to append the measurements to, one JSON object a line (default: standard error)")
	flag.StringVar(&s.only, "only", "", "measure these alone, separated by commas; see --list")
	flag.IntVar(&s.pairs, "pairs", 7, "how often each program has its turn")
	flag.IntVar(&s.runs, "runs", 3, "calls that are timed in each turn, after one that is not; the turn's figure is their median")
	flag.DurationVar(&s.pause, "pause", time.Second, "rest before each turn")
	flag.BoolVar(&s.list, "list", false, "list what can be measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.run(ctx, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "compare: %v\n", err)
		os.Exit(1)
	}
}

func envOr(name, value string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return value
}

// run carries out the command line.
func (s *settings) run(ctx context.Context, commands []string, out io.Writer) error {
	if s.pairs < 1 || s.runs < 1 {
		return fmt.Errorf("--pairs %d, --runs %d: want positive numbers", s.pairs, s.runs)
	}
	if s.list {
		for _, sc := range s.suite() {
			fmt.Fprintf(out, "%-10s %s\n", sc.name, sc.what)
		}
		return nil
	}
	scenarios, err := s.chosen(ctx, commands)
	if err != nil {
		return err
	}
	raw := io.Writer(os.Stderr)
	if s.raw != "" {
		f, err := os.OpenFile(s.raw, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		defer f.Close()
		raw = f
	}
	var lines []line
	for _, sc := range scenarios {
		turns, err := s.measure(ctx, sc, raw)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		lines = append(lines, summarise(sc, turns)...)
	}
	return printTable(out, lines)
}

// chosen returns the commands given, or the project's own scenarios with their
// files prepared.
func (s *settings) chosen(ctx context.Context, commands []string) ([]scenario, error) {
	if len(commands) > 0 {
		sc := scenario{name: "commands"}
		for _, c := range commands {
			name, text, ok := strings.Cut(c, "=")
			if !ok || strings.TrimSpace(text) == "" {
				return nil, fmt.Errorf("%q: want NAME=COMMAND", c)
			}
			sc.programs = append(sc.programs, program{name: name, args: strings.Fields(text)})
		}
		return []scenario{sc}, nil
	}
	scenarios, err := s.selected()
	if err != nil {
		return nil, err
	}
	return scenarios, s.prepare(ctx, scenarios)
}

// selected returns the scenarios that --only names.
func (s *settings) selected() ([]scenario, error) {
	all := s.suite()
	if s.only == "" {
		return all, nil
	}
	var out []scenario
	for name := range strings.SplitSeq(s.only, ",") {
		found := false
		for _, sc := range all {
			if sc.name == name {
				out, found = append(out, sc), true
			}
		}
		if !found {
			return nil, fmt.Errorf("--only %s: there is nothing of that name; see --list", name)
		}
	}
	return out, nil
}
