package browsertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Patience is how long a page may take to do what a test waits for.
const Patience = 20 * time.Second

// Viewport is the screen that a page is shown on.
type Viewport struct {
	Width, Height int64 // CSS pixels
	Scale         float64
	Touch         bool // a phone's screen, without a mouse
	Dark          bool // the reader prefers a dark page
	Still         bool // the reader prefers reduced motion
}

// The screens on which pages must work.
var (
	Desktop = Viewport{Width: 1280, Height: 800, Scale: 1}
	Phone   = Viewport{Width: 390, Height: 844, Scale: 2, Touch: true}
)

// InDark returns the same screen of a reader who prefers dark pages.
func (v Viewport) InDark() Viewport { v.Dark = true; return v }

// Page is one tab with storage of its own. Its methods fail the test when the browser
// cannot do what they say.
type Page struct {
	t     testing.TB
	ctx   context.Context
	shots string
	watch *watcher
}

// Open shows url on the given screen in a new tab. When the test ends, it fails if the page
// logged an error, or asked anything of another origin than the url's.
func (b *Browser) Open(t testing.TB, url string, v Viewport) *Page {
	t.Helper()
	w := &watcher{origin: originOf(url)}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(w.see))
	p := &Page{t: t, ctx: ctx, shots: b.shots, watch: w}
	t.Cleanup(func() {
		for _, problem := range w.left() {
			t.Error(problem)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of its first use
		t.Fatalf("opening a tab: %v", err)
	}
	p.Resize(v)
	p.Do(chromedp.Navigate(url))
	return p
}

func originOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// Resize shows the page on another screen.
func (p *Page) Resize(v Viewport) {
	p.t.Helper()
	options := []chromedp.EmulateViewportOption{chromedp.EmulateScale(v.Scale)}
	if v.Touch {
		options = append(options, chromedp.EmulateTouch, chromedp.EmulateMobile, chromedp.EmulatePortrait)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: choose(v.Dark, "dark", "light")},
		{Name: "prefers-reduced-motion", Value: choose(v.Still, "reduce", "no-preference")},
	}}
	p.Do(chromedp.EmulateViewport(v.Width, v.Height, options...),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, media)
			return err
		}))
}

func choose(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// Allow says that problems which contain one of the parts are meant to happen, such
// as the browser's own log of a status 401.
func (p *Page) Allow(parts ...string) { p.watch.allow(parts) }

// Requests returns method and URL of every request so far, in order.
func (p *Page) Requests() []string {
	p.watch.mu.Lock()
	defer p.watch.mu.Unlock()
	return slices.Clone(p.watch.requests)
}

// Do runs chromedp's actions one after the other.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.fail("%v", err)
	}
}

// fail ends the test with a picture of the page as it is.
func (p *Page) fail(format string, args ...any) {
	p.t.Helper()
	path := "none"
	if png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot()); err == nil {
		path = filepath.Join(p.shots, "failed-"+strings.ReplaceAll(p.t.Name(), "/", "-")+".png")
		_ = os.WriteFile(path, png, 0o644) // the failure itself matters more
	}
	p.t.Fatalf("%s\nproblems: %q\nscreenshot: %s", fmt.Sprintf(format, args...), p.watch.left(), path)
}

// Eval returns the value of a JavaScript expression; promises are awaited.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.fail("%s: %v", expression, err)
	}
	return v
}

// Wait blocks until a JavaScript expression holds. The expression may meet missing
// elements: an exception counts as "not yet".
func (p *Page) Wait(expression string) {
	p.t.Helper()
	// The page's own policy may forbid to compile strings, so the condition is part of
	// the evaluated script.
	script := fmt.Sprintf(`new Promise((resolve) => {
		const end = performance.now() + %d;
		const look = () => {
			let holds = false, why = "";
			try { holds = (%s); } catch (e) { why = String(e); }
			if (holds) resolve("");
			else if (performance.now() > end) resolve("did not hold in time " + why);
			else setTimeout(look, 15);
		};
		look();
	})`, (Patience * 3 / 4).Milliseconds(), expression)
	if why := Eval[string](p, script); why != "" {
		p.fail("%s %s", expression, why)
	}
}

// Click clicks, or on a phone's screen taps, the first element that a CSS selector finds.
func (p *Page) Click(css string) { p.t.Helper(); p.Do(chromedp.Click(chromedp.CSS(css))) }

// Press sends keys, of chromedp's package kb or plain text, to the element that has the focus.
func (p *Page) Press(keys string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	p.Do(chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...)))
}

// Fill replaces the text of a field as a reader would.
func (p *Page) Fill(css, text string) {
	p.t.Helper()
	p.Do(chromedp.Focus(chromedp.CSS(css)), chromedp.KeyEvent("a", chromedp.KeyModifiers(kb.ModifierCtrl)), chromedp.KeyEvent(text))
}

// Upload chooses files in a file field.
func (p *Page) Upload(css string, files ...string) {
	p.t.Helper()
	p.Do(chromedp.SetUploadFiles(chromedp.CSS(css), files, chromedp.NodeReady))
}

// Drag holds the pointer at one place and lets go at another, in CSS pixels, by touch or by mouse.
func (p *Page) Drag(touch bool, x0, y0, x1, y1 float64) {
	p.t.Helper()
	if !touch {
		p.Do(chromedp.DragAndDropXY(x0, y0, x1, y1, 4))
		return
	}
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for i := range 6 {
			event := input.DispatchTouchEventParams{Type: input.DispatchTouchEventTypeTouchMove}
			at := float64(min(i, 4)) / 4
			event.TouchPoints = []*input.TouchPoint{{X: x0 + at*(x1-x0), Y: y0 + at*(y1-y0)}}
			switch i {
			case 0:
				event.Type = input.DispatchTouchEventTypeTouchStart
			case 5:
				event.Type, event.TouchPoints = input.DispatchTouchEventTypeTouchEnd, []*input.TouchPoint{}
			}
			if _, err := cdp.Call(ctx, t, input.DispatchTouchEvent, event); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Screenshot writes what the screen shows as NAME.png and returns the file's path.
func (p *Page) Screenshot(name string) string {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("screenshot %s: %v", name, err)
	}
	path := filepath.Join(p.shots, name+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.t.Fatalf("screenshot %s: %v", name, err)
	}
	return path
}
