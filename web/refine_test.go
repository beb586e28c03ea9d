package web_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"github.com/sr3-go/sr3/internal/browsertest"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/web/webtest"
)

const (
	handle = `document.querySelector(".split")`
	chosen = `document.querySelector(".strip [aria-current]").textContent`
)

// TestPage goes through what a reader does, on a server that answers as told.
func TestPage(t *testing.T) {
	b := browsertest.Start(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *browsertest.Browser)
	}{
		{"refine", testRefine}, {"samples", testSamples}, {"phone", testPhone}, {"keyboard", testKeyboard},
		{"queue", testQueue}, {"failure", testFailure}, {"refusals", testRefusals}, {"key", testKey}, {"offline", testOffline},
		{"remembered", testRemembered}, {"stream", testStream}, {"drop", testDrop}, {"unseen", testUnseen},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, b) })
	}
}

// testRefine follows one job from the form to the downloaded file, with the mouse.
func testRefine(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{Steps: 5})
	p := open(t, b, s, browsertest.Desktop)
	p.Fill("#seed", "42")
	p.Fill("#scale", "3")
	p.Click(`[name=consistent][value=off]`)
	send(p, photo(t, "coffee.png", 24))
	s.AwaitWatched(0)
	p.Wait(`document.querySelector(".still .tag") && !document.querySelector(".still .tag").checkVisibility()`) // nothing to say before the first step
	off, got := false, s.Jobs()[0]
	want := jobs.Settings{Model: "photo-x4", Scale: 3, Steps: 5, Seed: 42, Consistent: &off, Format: "png"}
	if diff := cmp.Diff(want, got.Settings); diff != "" || got.Input.Name != "coffee.png" {
		t.Fatalf("the page asked for other settings of %s (-want +got):\n%s", got.Input.Name, diff)
	}

	s.Advance(3)
	p.Wait(`document.querySelectorAll(".strip button").length === 3 && document.querySelector(".status").textContent === "Step 3 of 5"`)
	p.Wait(`import("./assets/words.js").then((w) => [0, 0.00031, 0.0084, 0.36, 1].map(w.noiseLevel).join() === "0.000,0.00031,0.0084,0.360,1.000")`)
	p.Wait(`document.querySelector(".gamma").textContent.includes("0.360") && document.querySelector(".progress progress").value === 0.6`)
	p.Wait(chosen + ` === "3"`)
	if bare := p.Unnamed(); len(bare) != 0 {
		t.Errorf("screen readers know no name for %q of a running job", bare)
	}
	p.Click(".strip button:nth-child(2)")
	p.Press(kb.ArrowLeft)
	p.Wait(chosen + ` === "1" && document.activeElement === document.querySelector(".strip [aria-current]")`)
	s.Advance(1)
	p.Wait(`document.querySelectorAll(".strip button").length === 4`)
	p.Wait(chosen + ` === "1"`) // who looks back is left in peace
	p.Press(kb.End)
	p.Wait(chosen + ` === "4"`)

	s.Advance(1)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 72`)
	p.Wait(`document.querySelector(".compare .before").naturalWidth === 24`)
	testSlider(t, p)
	testLens(p)
	p.Click(`[name=part][value=steps]`)
	p.Wait(`document.querySelectorAll(".result .strip button").length === 5`)

	name, data := p.Download(func() { p.Click("#stage-action") })
	if name != "coffee_sr3.png" || !bytes.Equal(data, s.Result(0, jobs.ResultImage)) {
		t.Errorf("downloaded %d bytes as %q, want the %d of the result", len(data), name, len(s.Result(0, jobs.ResultImage)))
	}
	p.Click(".facts summary")
	p.Click("#copy")
	p.Wait(`document.querySelector("#copy").textContent === "Copied"`)
	if bare := p.Unnamed(); len(bare) != 0 {
		t.Errorf("screen readers know no name for %q", bare)
	}
}

func testSlider(t *testing.T, p *browsertest.Page) {
	t.Helper()
	p.Wait(handle + `.getAttribute("aria-valuenow") === "50"`)
	box := browsertest.Eval[[]float64](p, `(() => { const r = document.querySelector(".sheet").getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`)
	middle := box[1] + box[3]/2
	p.Drag(false, box[0]+box[2]*0.5, middle, box[0]+box[2]*0.25, middle)
	p.Wait(handle + `.getAttribute("aria-valuenow") === "25" && document.activeElement === ` + handle)
	clip := browsertest.Eval[float64](p, `parseFloat(document.querySelector(".before").style.clipPath.match(/- ([\d.]+)px/)[1])`)
	if clip < box[2]*0.24 || clip > box[2]*0.26 {
		t.Errorf("the before side is %v wide of %v", clip, box[2])
	}
	p.Press(kb.ArrowRight)
	p.Press(kb.ArrowRight)
	p.Wait(handle + `.getAttribute("aria-valuenow") === "29"`)
	p.Press(kb.End)
	p.Wait(handle + `.getAttribute("aria-valuetext") === "100 percent before"`)
	p.Press(kb.Home)
	p.Wait(handle + `.getAttribute("aria-valuenow") === "0"`)

	p.Click(`[name=before][value=pixels]`)
	p.Wait(`getComputedStyle(document.querySelector(".before")).imageRendering === "pixelated"`)
	p.Click(`[name=zoom][value=one]`)
	p.Wait(`document.querySelector(".sheet").offsetWidth === 72`)
	p.Click(`[name=zoom][value=fit]`)
	p.Wait(`document.querySelector(".sheet").offsetWidth > 400`)
}

func testLens(p *browsertest.Page) {
	const spot = `document.querySelector(".spot")`
	p.Click("#lens")
	p.Wait(`document.activeElement === ` + spot)
	left := browsertest.Eval[float64](p, `parseFloat(`+spot+`.style.left)`)
	p.Press(kb.ArrowRight)
	p.Wait(fmt.Sprintf(`parseFloat(%s.style.left) > %v`, spot, left))
	p.Press("+")
	p.Wait(`document.querySelector("#lens").textContent === "Lens 5×"`)
	// Both panes show the same place, five times as large as the picture.
	p.Wait(`(([a, b]) => a.style.left === b.style.left && a.style.top === b.style.top && Math.abs(a.offsetWidth - 5 * document.querySelector(".sheet").offsetWidth) < 3)(document.querySelectorAll(".pane img"))`)
	// The place in the middle of a pane is the one under the spot.
	p.Wait(`(() => {
		const sheet = document.querySelector(".sheet").getBoundingClientRect(), at = document.querySelector(".spot").getBoundingClientRect();
		const pane = document.querySelector(".pane"), image = pane.firstChild;
		const x = (at.left + at.width / 2 - sheet.left) / sheet.width, y = (at.top + at.height / 2 - sheet.top) / sheet.height;
		return x > 0.5 && Math.abs(pane.clientWidth / 2 - image.offsetLeft - x * image.offsetWidth) < 3 && Math.abs(pane.clientHeight / 2 - image.offsetTop - y * image.offsetHeight) < 3;
	})()`)
	p.Press(kb.Escape)
	p.Wait(`document.querySelector(".lens").hidden && document.activeElement.id === "lens"`)
}

// testSamples looks at several draws, their mean and where they differ.
func testSamples(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{Steps: 2})
	p := open(t, b, s, browsertest.Desktop)
	p.Fill("#samples", "3")
	send(p, photo(t, "coffee.png", 20))
	s.AwaitWatched(0)
	s.Advance(3)
	p.Wait(`document.querySelector(".status").textContent === "Draw 2 of 3, step 1 of 2"`)
	s.Advance(3)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 80`)
	first := browsertest.Eval[string](p, `document.querySelector(".compare .after").src`)
	p.Click(`[name=part][value=draws]`)
	p.Wait(`[...document.querySelectorAll(".gallery strong")].map((e) => e.textContent).join() === "Draw 1,Draw 2,Draw 3,Mean,Deviation"`)
	p.Wait(`[...document.querySelectorAll(".gallery img")].every((e) => e.naturalWidth === 80)`)
	p.Screenshot("samples")
	name, data := p.Download(func() { p.Click(`.gallery figure:nth-child(5) button`) })
	if name != "coffee_sr3.deviation.png" || !bytes.Equal(data, s.Result(0, jobs.ResultDeviation)) {
		t.Errorf("downloaded %d bytes as %q", len(data), name)
	}
	p.Click(`.gallery figure:nth-child(2) .open-draw`)
	p.Wait(fmt.Sprintf(`document.querySelector(".compare .after").src !== %q && document.querySelector(".tag.right").textContent === "Draw 2"`, first))
	p.Wait(`document.getElementById("draw").value === "draw-1"`)
	p.Wait(`document.querySelector(".overlay").hidden`)
	browsertest.Eval[bool](p, `document.getElementById("deviation").focus() ?? true`)
	for range 12 {
		p.Press(kb.ArrowRight)
	}
	p.Wait(`!document.querySelector(".overlay").hidden && getComputedStyle(document.querySelector(".overlay")).opacity === "0.6" && document.querySelector(".overlay").naturalWidth === 80`)
	// A pixel of the map lies on that of the result; its legend is cut off.
	p.Wait(`Math.abs(document.querySelector(".overlay").offsetHeight / document.querySelector(".after").offsetHeight - 84 / 64) < 0.02 && Math.abs(document.querySelector(".overlay").offsetWidth - document.querySelector(".after").offsetWidth) < 2`)
	p.Screenshot("deviation")
	name, data = p.Download(func() { p.Click("#stage-action") })
	if name != "coffee_sr3.draw-1.png" || !bytes.Equal(data, s.Result(0, jobs.ResultDraw+"1")) {
		t.Errorf("downloaded %d bytes as %q, want what is on the after side", len(data), name)
	}
}

// testPhone does it all on a narrow screen by touch.
func testPhone(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{Steps: 3})
	p := open(t, b, s, browsertest.Phone)
	narrow := func(what string) {
		t.Helper()
		if w := browsertest.Eval[int](p, `document.documentElement.scrollWidth`); w > 390 {
			t.Errorf("%s is %d pixels wide", what, w)
		}
	}
	narrow("the form")
	send(p, photo(t, "a-photo-whose-name-is-much-longer-than-a-phone-is-wide.png", 24))
	p.Wait(`document.body.dataset.view === "picture"`)
	s.AwaitWatched(0)
	s.Advance(2)
	p.Wait(`document.querySelectorAll(".strip button").length === 2`)
	narrow("the running job")
	s.Advance(1)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth > 0`)
	narrow("the result")
	box := browsertest.Eval[[]float64](p, `(() => { const r = document.querySelector(".sheet").getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`)
	p.Drag(true, box[0]+box[2]/2, box[1]+box[3]/3, box[0]+box[2]*0.8, box[1]+box[3]/3)
	p.Wait(handle + `.getAttribute("aria-valuenow") === "80"`)
	p.Click(`.tabs [data-to=jobs]`)
	p.Wait(`document.querySelector("#history .open").offsetWidth > 0 && document.getElementById("picture").offsetWidth === 0`)
	narrow("the list of jobs")
	p.Screenshot("phone-jobs")
	p.Click("#history .open")
	p.Wait(`document.body.dataset.view === "picture"`)
	small := browsertest.Eval[[]string](p, `[...document.querySelectorAll("button")].filter((b) => b.offsetWidth && b.offsetHeight < 36).map((b) => b.textContent)`)
	if len(small) != 0 {
		t.Errorf("too small for fingers: %q", small)
	}
}

// testKeyboard reaches everything by Tab alone, sees where the focus is, and uses it.
func testKeyboard(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{Steps: 2})
	p := open(t, b, s, browsertest.Desktop)
	p.Upload("#files", photo(t, "coffee.png", 16))
	p.Wait(`!document.getElementById("submit").disabled`)
	tab := func(condition string) {
		t.Helper()
		var seen []string
		for range 45 {
			p.Press(kb.Tab)
			at := browsertest.Eval[string](p, `(() => { const e = document.activeElement; return (e.id || e.className || e.tagName) + " " + (e.getAttribute("aria-label") ?? ""); })()`)
			if browsertest.Eval[bool](p, condition) {
				return
			}
			seen = append(seen, at)
		}
		t.Fatalf("Tab never came to where %s; it went by %q", condition, seen)
	}
	p.Press(kb.Tab)
	p.Wait(`document.activeElement.className === "skip" && document.activeElement.getBoundingClientRect().top >= 0`)
	tab(`document.activeElement.id === "seed"`)
	tab(`document.activeElement.id === "submit"`)
	p.Wait(`getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	p.Press(kb.Enter)
	s.AwaitWatched(0)
	tab(`document.activeElement.id === "stage-action"`)
	s.Advance(2)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth > 0`)
	p.Wait(`document.activeElement.id === "picture"`) // what had the focus is gone: it is near
	tab(`document.activeElement.id === "stage-action"`)
	tab(`document.activeElement.id === "lens"`)
	tab(`document.activeElement.className === "split"`)
	p.Press(kb.ArrowLeft, kb.ModifierShift)
	p.Wait(handle + `.getAttribute("aria-valuenow") === "40"`)
	p.Press("l")
	p.Wait(`document.activeElement.className === "spot"`)
	p.Press("l")
	p.Wait(`document.activeElement.id === "lens"`)
	p.Press("1")
	p.Wait(`document.querySelector(".sheet").offsetWidth === 64`)
	tab(`document.activeElement.matches("#history .open")`)
	tab(`document.activeElement.dataset.act === "remove"`)
	p.Press(kb.Enter)
	p.Wait(`document.getElementById("confirm-dialog").open`)
	tab(`document.activeElement.value === "yes"`)
	p.Press(kb.Enter)
	p.Wait(`document.querySelectorAll(".jobs li").length === 0`)
	if left := s.Jobs(); len(left) != 0 {
		t.Errorf("jobs are left: %v", left)
	}
	if bare := p.Unnamed(); slices.Contains(bare, "button") {
		t.Errorf("screen readers know no name for %q", bare)
	}
}
