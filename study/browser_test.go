package study_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/internal/browsertest"
	"github.com/sr3-go/sr3/study"
)

// ready waits until the answer buttons can be used in the trial that the footer
// counts so.
func ready(p *browsertest.Page, count string) {
	p.Wait(`document.getElementById("count").textContent === "` + count + `" && document.getElementById("left").getAttribute("aria-disabled") === "false"`)
}

// visible waits for a section of the page.
func visible(p *browsertest.Page, id string) { p.Wait(`!document.getElementById("` + id + `").hidden`) }

// begin goes through consent and practice by keyboard.
func begin(p *browsertest.Page) {
	visible(p, "welcome")
	p.Press(kb.Tab + kb.Enter)
	visible(p, "ready")
	p.Press(kb.Tab + kb.Enter)
	ready(p, "Practice")
	p.Press("j")
	visible(p, "begin")
	p.Press(kb.Tab + kb.Enter)
	visible(p, "stage")
}

// sampler watches the screen as a camera would: for every frame, whether the picture
// on the left can be seen. It is independent of how the page measures.
const sampler = `window.samples = []; window.sampling = (t) => {
	const img = document.querySelector("#left-frame img");
	const stage = document.getElementById("stage");
	samples.push([t, Boolean(img) && !stage.hidden && getComputedStyle(img).visibility === "visible", document.getElementById("count").textContent]);
	requestAnimationFrame(sampling);
}; requestAnimationFrame(sampling); true`

// seen is how long the left picture could be seen in a trial, by the sampler.
const seen = `(() => { const out = {}; let from = null;
	for (const [t, on, count] of samples) {
		if (on && from === null) from = t;
		if (!on && from !== null) { out[count] = t - from; from = null; }
	}
	return out; })()`

// TestKeyboard goes through a whole study of 3 seconds a pair by keyboard, reloads
// in the middle, and measures how long pairs are seen.
func TestKeyboard(t *testing.T) {
	browser := browsertest.Start(t)
	const display = 3000
	f := build(t, 6, func(m *study.Manifest) { m.PerSubject, m.Catch, m.Methods = 3, 1, m.Methods[:1] })
	s := serve(t, f, study.Options{})
	p := browser.Open(t, s.join(t), browsertest.Desktop)
	begin(p)
	browsertest.Eval[bool](p, sampler)
	keys := []string{"f", kb.ArrowRight, "J", kb.ArrowLeft}
	choices := []foolrate.Choice{foolrate.Left, foolrate.Right, foolrate.Right, foolrate.Left}
	for i, key := range keys {
		count := fmt.Sprintf("%d of 4", i+1)
		if i == 2 { // the pair that a reload interrupts is shown again
			p.Wait(`document.getElementById("scene").classList.contains("shown") && document.getElementById("count").textContent === "3 of 4"`)
			p.Press("f") // too early: the pictures are there
			measured := browsertest.Eval[map[string]float64](p, seen)
			for trial, ms := range measured {
				if math.Abs(ms-display) > 2*1000/60.+1 {
					t.Errorf("trial %s was seen for %.1f ms", trial, ms)
				}
			}
			t.Logf("seen for, in ms: %v", measured)
			if len(measured) != 2 {
				t.Errorf("measured %v", measured)
			}
			p.Do(chromedp.Reload())
			visible(p, "paused")
			p.Press(kb.Tab + kb.Enter)
		}
		ready(p, count)
		if i == 0 {
			p.Press("x") // no answer
		}
		p.Press(key)
	}
	visible(p, "done")
	checkStored(t, s, choices, display)
}

// checkStored looks at what the store has of the one subject.
func checkStored(t *testing.T, s *site, choices []foolrate.Choice, display float64) {
	t.Helper()
	answers, err := s.store.Answers(t.Context())
	if err != nil || len(answers) != len(choices) {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, a := range answers {
		views := 1
		if i == 2 {
			views = 2
		}
		if a.Choice != choices[i] || a.Views != views {
			t.Errorf("answer %+v, want %s after %d views", a, choices[i], views)
		}
		if math.Abs(a.Shown-display) > 2*1000/60.+1 || a.Response < a.Shown-20 || a.Response > a.Shown+15_000 {
			t.Errorf("trial %d: shown for %.1f ms, answered after %.1f", i, a.Shown, a.Response)
		}
	}
}
