package cli

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/tune"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
)

// report prints the best of each sampler and what the check says.
func (r *searchRun) report(found *refine.SearchResult, final []scored, started time.Time) error {
	if r.json {
		for _, c := range final {
			if err := writeJSON(r.out, searchEvent{Event: "check", Candidate: c.Candidate, Score: &c.Value, Error: c.Error,
				Spread: c.Spread, PSNR: c.PSNR}); err != nil {
				return err
			}
		}
		return nil
	}
	ended := "all evaluations used"
	if found.Converged {
		ended = "nothing improves it any more"
	} else if len(found.Trials) < r.evaluations {
		ended = "time used up"
	}
	fmt.Fprintf(r.out, "%d settings scored on %d crops in %s (%s). The best of each sampler:\n\n", len(found.Trials), r.images,
		shortDuration(time.Since(started)), ended)
	fmt.Fprint(r.out, r.bestOfEach())
	fmt.Fprintf(r.out, "\nChecked on %d other crops, with other noise:\n\n%s\n", r.images, r.checkTable(final))
	best := final[0]
	fmt.Fprintf(r.out, "%v\nlog-SNR %s\n", best.Candidate, logSNRText(best.Candidate))
	return nil
}

// bestOfEach is a table of the lowest score of each sampler.
func (r *searchRun) bestOfEach() string {
	best := map[string]tune.Entry{}
	tried := map[string]int{}
	var order []string
	for _, e := range r.entries {
		tried[e.Sampler]++
		if b, ok := best[e.Sampler]; !ok || e.Value < b.Value {
			best[e.Sampler] = e
		}
	}
	for name := range best {
		order = append(order, name)
	}
	slices.SortFunc(order, func(a, b string) int { return cmp.Compare(best[a].Value, best[b].Value) })
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s  %5s  %-8s  %12s  %-7s  %s\n", "sampler", "tried", "score", "spread/error", "PSNR", "settings")
	for _, name := range order {
		e := best[name]
		fmt.Fprintf(&b, "%-9s  %5d  %-8.4f  %12.2f  %-7.2f  %v\n", name, tried[name], e.Value, ratio(e.Score), e.PSNR, e.Candidate)
	}
	return b.String()
}

// checkTable lists the candidates that were checked, with the difference of each from the model's present settings.
func (r *searchRun) checkTable(final []scored) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s  %-18s  %12s  %-7s  %-5s  %s\n", "score", "less the present", "spread/error", "PSNR", "calls", "settings")
	for _, c := range final {
		text := "present"
		switch {
		case len(r.present.Crops) == 0:
			text = "no result" // of the present settings
		case !r.isPresent(c):
			mean, e := tune.Difference(c.Score, r.present.Score)
			text = fmt.Sprintf("%+.4f +- %.4f", mean, e)
		}
		fmt.Fprintf(&b, "%-8.4f  %-18s  %12.2f  %-7.2f  %-5d  %v\n", c.Value, text, ratio(c.Score), c.PSNR, c.Calls(), c.Candidate)
	}
	return b.String()
}

func (r *searchRun) isPresent(c scored) bool {
	a, b := c.Candidate, r.present.Candidate
	return a.Sampler == b.Sampler && slices.Equal(a.Gammas, b.Gammas) && a.Eta == b.Eta && a.Temperature == b.Temperature
}

// logSNRText lists levels, noisiest first.
func logSNRText(c refine.Candidate) string {
	var list []string
	for i := len(c.Gammas) - 1; i >= 0; i-- {
		list = append(list, fmt.Sprintf("%.2f", max(diffusion.Gamma(c.Gammas[i]).LogSNR(), -99)))
	}
	return strings.Join(list, " ")
}

// note is what the model's card says of the search.
func (r *searchRun) note(found *refine.SearchResult, final []scored) model.CardTable {
	t := model.CardTable{Title: "Inference settings", Header: []string{"settings", "calls", "energy score", "spread/error", "PSNR of a draw"}}
	for _, c := range final {
		name := c.Candidate.String()
		if r.isPresent(c) {
			name += " (before the search)"
		}
		t.Rows = append(t.Rows, []string{name, fmt.Sprint(c.Calls()), fmt.Sprintf("%.4f", c.Value), fmt.Sprintf("%.2f", ratio(c.Score)),
			fmt.Sprintf("%.2f", c.PSNR)})
	}
	command := fmt.Sprintf("sr3 schedule search --calls %d --images %d --crop %d --seed %d --evaluations %d", r.calls, r.images, r.crop, r.seed, r.evaluations)
	if r.keepTemperature {
		command += " --keep-temperature"
	}
	if r.spreadWeight != 1 {
		command += fmt.Sprintf(" --spread-weight %g", r.spreadWeight)
	}
	if len(r.samplers) > 0 {
		command += " --samplers " + strings.Join(r.samplers, ",")
	}
	t.Notes = []string{fmt.Sprintf("Sampler, noise levels, eta and temperature were found by `%s` (%d evaluations were made) on held-out images. The scores are "+
		"of %d other crops with other noise: an energy score of local structure, lower is better; a spread that equals the error is what honest draws have. "+
		"The first line is what the model does by default.", command, len(found.Trials), r.images)}
	if x := final[0].Temperature; math.Abs(x-1) > 1e-9 {
		t.Notes = append(t.Notes, fmt.Sprintf("The noise is scaled by %g: draws differ less than the model's own distribution says; `--temperature 1` draws from it.", x))
	}
	return t
}

// addTable puts a table into a model's record and card, in place of one with the same title. A card written by hand gets
// a section.
func addTable(m *model.Model, t model.CardTable) error {
	err := m.CheckRecord()
	if err == nil {
		card := *m.Record
		card.Tables = putTable(slices.Clone(card.Tables), t)
		return m.SetRecord(card)
	}
	if !errors.Is(err, model.ErrNoRecord) {
		return err
	}
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.Header)
	line(slices.Repeat([]string{"---"}, len(t.Header)))
	for _, row := range t.Rows {
		line(row)
	}
	for _, note := range t.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	m.Card = withSection(m.Card, t.Title, b.String())
	return nil
}

// withSection puts a section of the second level into a card, in place of one with the same title or at the end.
func withSection(card, title, text string) string {
	section := "## " + title + "\n\n" + strings.TrimSpace(text) + "\n"
	heading := "\n## " + title + "\n"
	at := strings.Index("\n"+card, heading)
	if at < 0 {
		if card = strings.TrimRight(card, "\n"); card != "" {
			card += "\n\n"
		}
		return card + section
	}
	rest := ("\n" + card)[at+len(heading):]
	if next := strings.Index(rest, "\n## "); next >= 0 {
		section += rest[next:]
	}
	return card[:at] + section
}
