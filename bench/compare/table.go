package main

import (
	"fmt"
	"io"
	"slices"
)

// line is one line of the table: a program beside one peer, or alone.
type line struct {
	what                string
	first, other        string // names; other is empty for a program alone
	seconds, otherS     float64
	ratio, low, high    float64 // of medians; smallest and largest of the pairs
	spread, otherSpread float64 // (largest - smallest) / median
	peak, otherPeak     float64 // MiB, medians
	pairs               int
}

// summarise compares the first program of a scenario with each other one.
func summarise(sc scenario, turns map[string][]turn) []line {
	a := turns[sc.programs[0].name]
	what := sc.name
	if sc.what != "" {
		what = sc.what
	}
	base := line{what: what, first: sc.programs[0].name, pairs: len(a)}
	base.seconds, base.spread = median(column(a, seconds)), spread(column(a, seconds))
	base.peak = median(column(a, peak))
	if len(sc.programs) == 1 {
		return []line{base}
	}
	var out []line
	for _, p := range sc.programs[1:] {
		b := turns[p.name]
		l := base
		l.other = p.name
		l.otherS, l.otherSpread, l.otherPeak = median(column(b, seconds)), spread(column(b, seconds)), median(column(b, peak))
		l.ratio = l.otherS / l.seconds
		var ratios []float64
		for i := range a {
			ratios = append(ratios, b[i].Seconds/a[i].Seconds)
		}
		l.low, l.high = slices.Min(ratios), slices.Max(ratios)
		out = append(out, l)
	}
	return out
}

func seconds(t turn) float64 { return t.Seconds }
func peak(t turn) float64    { return t.PeakMiB }

func column(turns []turn, f func(turn) float64) []float64 {
	out := make([]float64, len(turns))
	for i, t := range turns {
		out[i] = f(t)
	}
	return out
}

// median is the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// spread is how far apart the values are, in units of their median.
func spread(values []float64) float64 {
	return (slices.Max(values) - slices.Min(values)) / median(values)
}

// printTable writes Markdown. A ratio above 1 means that the first program is
// faster; a memory ratio below 1 that it takes less.
func printTable(w io.Writer, lines []line) error {
	fmt.Fprintln(w, "| what | program | median s (spread) | peer | median s (spread) | times faster (pairs) | peak MiB | peer's | memory ratio |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	for _, l := range lines {
		figure := func(s, spread float64) string { return fmt.Sprintf("%.4g (%.0f%%)", s, 100*spread) }
		if l.other == "" {
			fmt.Fprintf(w, "| %s | %s | %s | | | | %.0f | | |\n", l.what, l.first, figure(l.seconds, l.spread), l.peak)
			continue
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %.2f (%.2f to %.2f) | %.0f | %.0f | %.2f |\n", l.what, l.first, figure(l.seconds, l.spread),
			l.other, figure(l.otherS, l.otherSpread), l.ratio, l.low, l.high, l.peak, l.otherPeak, l.peak/l.otherPeak)
	}
	_, err := fmt.Fprintf(w, "\n%d turns each, interleaved; ratios of medians.\n", lines[0].pairs)
	return err
}
