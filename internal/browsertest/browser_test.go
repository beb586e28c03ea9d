package browsertest

import (
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

const document = `<!doctype html><meta name="viewport" content="width=device-width"><title>one</title><link rel="icon" href="data:,">
<input id="field" value="old"><input id="file" type="file"><button id="b">press</button><p id="out"></p>
<script>
b.onclick = () => { out.textContent = field.value + " " + matchMedia("(prefers-color-scheme: dark)").matches; };
document.addEventListener("keydown", (e) => { if (e.key === "ArrowLeft") out.textContent = "left"; });
document.documentElement.style.touchAction = "none";
document.addEventListener("pointerup", (e) => { document.title = e.pointerType; });
file.onchange = () => { out.textContent = file.files[0].name; };
if (location.hash === "#bad") { console.error("of the", "page"); fetch("http://198.51.100.7/away").catch(() => {}); setTimeout(() => { throw new Error("thrown"); }); }
</script>`

func serve(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, document) }))
	t.Cleanup(server.Close)
	return server.URL
}

func TestPage(t *testing.T) {
	browser, url := Start(t), serve(t)
	for _, c := range []struct {
		name    string
		screen  Viewport
		width   int
		text    string
		pointer string
	}{
		{"desktop", Desktop, 1280, "new false", "mouse"},
		{"phone", Phone.InDark(), 780, "new true", "touch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := browser.Open(t, url, c.screen)
			p.Fill("#field", "new")
			p.Click("#b")
			p.Wait(`out.textContent === "` + c.text + `"`)
			p.Press(kb.ArrowLeft)
			p.Wait(`out.textContent === "left"`)
			file := t.TempDir() + "/a.png"
			if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			p.Upload("#file", file)
			p.Wait(`out.textContent === "a.png"`)
			p.Drag(c.screen.Touch, 300, 300, 300, 310)
			p.Wait(`document.title === "` + c.pointer + `"`)
			f, err := os.Open(p.Screenshot(c.name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if img, err := png.Decode(f); err != nil || img.Bounds().Dx() != c.width {
				t.Fatalf("screenshot %v, want %d pixels wide: %v", img.Bounds(), c.width, err)
			}
			if got := Eval[int](p, `Promise.resolve(innerWidth)`); got != int(c.screen.Width) {
				t.Errorf("page is %d wide", got)
			}
		})
	}
}

func TestProblemsAreSeen(t *testing.T) {
	browser, url := Start(t), serve(t)
	p := browser.Open(t, url+"/#bad", Desktop)
	for _, part := range []string{"console: ", "Error: thrown", "another server: GET http://198.51.100.7/away"} {
		for range 500 {
			if strings.Contains(strings.Join(p.watch.left(), "\n"), part) {
				break
			}
			p.Wait(`true`)
		}
		if !strings.Contains(strings.Join(p.watch.left(), "\n"), part) {
			t.Errorf("%q was not seen in %q", part, p.watch.left())
		}
	}
	p.Allow("of the", "page", "thrown", "198.51.100.7")
	if left := p.watch.left(); len(left) != 0 {
		t.Errorf("allowed problems are left: %q", left)
	}
}

func TestFind(t *testing.T) {
	t.Setenv(EnvBrowser, "no-such-browser")
	if path, ok := Find(); ok {
		t.Fatalf("found %q, which the environment does not name", path)
	}
}
