package study_test

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/internal/browsertest"
	"github.com/sr3-go/sr3/study"
)

// patient starts a browser for a test that takes as long as people take.
func patient(t *testing.T) *browsertest.Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a study takes its time")
	}
	return browsertest.Start(t)
}

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

// seen is how long the left picture could be seen in each trial, by the sampler, and
// the longest frame meanwhile: on a busy machine frames are left out.
const seen = `(() => { const out = {}; let from = null, last = null, frame = 0;
	for (const [t, on, count] of samples) {
		if (on && from === null) { from = t; frame = 0; }
		if (from !== null && last !== null) frame = Math.max(frame, t - last);
		if (!on && from !== null) { out[count] = [t - from, frame]; from = null; }
		last = t;
	}
	return out; })()`

// checkSeen compares what the sampler saw with the time for which pairs are to be
// shown: the difference is two frames at most.
func checkSeen(t *testing.T, p *browsertest.Page, display float64, trials ...string) map[string][2]float64 {
	t.Helper()
	measured := browsertest.Eval[map[string][2]float64](p, seen)
	t.Logf("seen for, and longest frame, in ms: %v", measured)
	for _, trial := range trials {
		m, ok := measured[trial]
		if !ok || math.Abs(m[0]-display) > 2*max(m[1], 1000/60.)+1 {
			t.Errorf("trial %s was seen for %.1f ms with frames of up to %.1f ms", trial, m[0], m[1])
		}
	}
	return measured
}

// TestKeyboard goes through a whole study of 3 seconds a pair by keyboard, reloads
// in the middle, and measures how long pairs are seen.
func TestKeyboard(t *testing.T) {
	browser := patient(t)
	const display = 3000
	f := build(t, 6, func(m *study.Manifest) { m.PerSubject, m.Catch, m.Methods = 3, 1, m.Methods[:1] })
	s := serve(t, f, study.Options{})
	p := browser.Open(t, s.join(t), browsertest.Desktop)
	begin(p)
	browsertest.Eval[bool](p, sampler)
	measured := map[string][2]float64{}
	keys := []string{"f", kb.ArrowRight, "J", kb.ArrowLeft}
	choices := []foolrate.Choice{foolrate.Left, foolrate.Right, foolrate.Right, foolrate.Left}
	for i, key := range keys {
		count := fmt.Sprintf("%d of 4", i+1)
		if i == 2 { // the pair that a reload interrupts is shown again
			p.Wait(`document.getElementById("scene").classList.contains("shown") && document.getElementById("count").textContent === "3 of 4"`)
			p.Press("f") // too early: the pictures are there
			maps.Copy(measured, checkSeen(t, p, display, "1 of 4", "2 of 4"))
			p.Do(chromedp.Reload())
			visible(p, "paused")
			browsertest.Eval[bool](p, sampler)
			p.Press(kb.Tab + kb.Enter)
		}
		ready(p, count)
		if i == 0 {
			p.Press("x") // no answer
		}
		p.Press(key)
	}
	visible(p, "done")
	maps.Copy(measured, checkSeen(t, p, display, "3 of 4", "4 of 4"))
	checkStored(t, s, choices, measured)
}

// checkStored compares what the store has of the one subject with the keys pressed
// and with what the sampler saw.
func checkStored(t *testing.T, s *site, choices []foolrate.Choice, measured map[string][2]float64) {
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
		m := measured[fmt.Sprintf("%d of 4", i+1)]
		if math.Abs(a.Shown-m[0]) > m[1]+1 || a.Response < a.Shown-m[1] {
			t.Errorf("trial %d: shown for %.1f ms, answered after %.1f; seen for %.1f", i, a.Shown, a.Response, m[0])
		}
	}
}

// TestMouseAndPictures goes through a short study by mouse and by touch on the
// screens that people have, with a pause, and takes the screenshots that people
// looked at.
func TestMouseAndPictures(t *testing.T) {
	browser := patient(t)
	for _, c := range []struct {
		name   string
		screen browsertest.Viewport
		task   foolrate.Task
	}{
		{"desktop-1", browsertest.Desktop, foolrate.WithInput},
		{"desktop-2", browsertest.Desktop, foolrate.WithoutInput},
		{"phone-1", browsertest.Phone, foolrate.WithInput},
		{"phone-2", browsertest.Phone.InDark(), foolrate.WithoutInput},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := build(t, 5, func(m *study.Manifest) {
				m.Task, m.PerSubject, m.DisplayMS, m.Allocation = c.task, 3, 800, foolrate.Mixed
			})
			s := serve(t, f, study.Options{Open: true})
			p := browser.Open(t, s.url, c.screen)
			p.Screenshot("study-" + c.name + "-0-home")
			p.Click("button")
			p.Do(chromedp.WaitVisible(chromedp.CSS("#agree"))) // on the next page
			p.Screenshot("study-" + c.name + "-1-welcome")
			p.Click("#agree")
			visible(p, "ready")
			p.Click("#practise")
			p.Wait(`document.getElementById("scene").classList.contains("shown")`)
			p.Screenshot("study-" + c.name + "-2-practice")
			ready(p, "Practice")
			p.Click("#right")
			visible(p, "begin")
			p.Screenshot("study-" + c.name + "-3-begin")
			p.Click("#go")
			p.Wait(`document.getElementById("scene").classList.contains("shown")`)
			p.Screenshot("study-" + c.name + "-4-shown")
			if scroll := browsertest.Eval[bool](p, `document.documentElement.scrollHeight > innerHeight || document.documentElement.scrollWidth > innerWidth`); scroll {
				t.Error("the pair does not fit the screen")
			}
			p.Click("#pause")
			visible(p, "paused")
			p.Screenshot("study-" + c.name + "-5-paused")
			p.Click("#resume")
			ready(p, "1 of 4")
			p.Screenshot("study-" + c.name + "-6-answer")
			p.Click("#left")
			for i := range 3 {
				ready(p, fmt.Sprintf("%d of 4", i+2))
				p.Click([]string{"#right", "#left", "#right"}[i])
			}
			visible(p, "done")
			p.Screenshot("study-" + c.name + "-7-done")
			answers, err := s.store.Answers(t.Context())
			if err != nil || len(answers) != 4 {
				t.Fatalf("%d answers, %v", len(answers), err)
			}
			for i, a := range answers {
				if want := []foolrate.Choice{foolrate.Left, foolrate.Right, foolrate.Left, foolrate.Right}[i]; a.Choice != want {
					t.Errorf("answer %d is %s, want %s", i, a.Choice, want)
				}
				if a.Views != 1+max(0, 1-i) {
					t.Errorf("answer %d after %d views", i, a.Views)
				}
			}
		})
	}
}

// TestOtherTimings: pairs that stay until the answer, early answers, and time-outs.
func TestOtherTimings(t *testing.T) {
	browser := patient(t)
	one := func(change func(*study.Manifest)) (*site, *browsertest.Page) {
		f := build(t, 2, func(m *study.Manifest) {
			m.PerSubject, m.Catch, m.Task, m.Methods = 1, 0, foolrate.WithoutInput, m.Methods[:1]
			change(m)
		})
		s := serve(t, f, study.Options{})
		p := browser.Open(t, s.join(t), browsertest.Desktop)
		begin(p)
		return s, p
	}
	answer := func(s *site, p *browsertest.Page) foolrate.Answer {
		visible(p, "done")
		answers, err := s.store.Answers(t.Context())
		if err != nil || len(answers) != 1 {
			t.Fatalf("%d answers, %v", len(answers), err)
		}
		return answers[0]
	}
	t.Run("until answered", func(t *testing.T) {
		s, p := one(func(m *study.Manifest) { m.DisplayMS = 0 })
		ready(p, "1 of 1")
		p.Press("f")
		if a := answer(s, p); a.Choice != foolrate.Left || math.Abs(a.Shown-a.Response) > 50 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("early", func(t *testing.T) {
		s, p := one(func(m *study.Manifest) { m.DisplayMS, m.EarlyAnswers = 60_000, true })
		ready(p, "1 of 1")
		p.Press("j")
		if a := answer(s, p); a.Choice != foolrate.Right || a.Shown > 20_000 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("time-out", func(t *testing.T) {
		s, p := one(func(m *study.Manifest) { m.DisplayMS, m.TimeoutMS = 400, 5000 })
		// The practice pair is answered in time by begin; this one is not.
		if a := answer(s, p); a.Choice != foolrate.TimedOut || math.Abs(a.Shown-400) > 600 || math.Abs(a.Response-5400) > 1200 {
			t.Errorf("%+v", a)
		}
	})
}

// TestConnectionLost: an answer given while the server is away is kept and sent.
func TestConnectionLost(t *testing.T) {
	browser := patient(t)
	f := build(t, 2, func(m *study.Manifest) { m.PerSubject, m.DisplayMS = 1, 300 })
	store := openStore(t, f)
	h, err := study.NewServer(t.Context(), f, store, study.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s := &site{f, store, server.URL}
	p := browser.Open(t, s.join(t), browsertest.Phone)
	p.Allow("net::ERR_")
	begin(p)
	ready(p, "1 of 2")
	away.Store(true)
	p.Press("f")
	p.Wait(`!document.getElementById("note").hidden`)
	p.Screenshot("study-phone-lost")
	away.Store(false)
	ready(p, "2 of 2")
	if note := browsertest.Eval[bool](p, `document.getElementById("note").hidden`); !note {
		t.Error("the note stays")
	}
	p.Press("j")
	visible(p, "done")
	if answers, err := store.Answers(t.Context()); err != nil || len(answers) != 2 {
		t.Errorf("%d answers, %v", len(answers), err)
	}
}
