package web_test

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/image/draw"

	"github.com/sr3-go/sr3/internal/browsertest"
	"github.com/sr3-go/sr3/web/webtest"
)

// photo writes the project's test photo, reduced to the given width, as a PNG file.
func photo(t testing.TB, name string, width int) string {
	t.Helper()
	data, err := os.ReadFile("../testdata/coffee.png")
	if err != nil {
		t.Fatal(err)
	}
	src, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	size := src.Bounds().Size()
	dst := image.NewRGBA(image.Rect(0, 0, width, size.Y*width/size.X))
	draw.CatmullRom.Scale(dst, dst.Bounds(), src, src.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	if err := png.Encode(&b, dst); err != nil {
		t.Fatal(err)
	}
	return file(t, name, b.Bytes())
}

func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// open shows the page of a fake server and waits until it is ready.
func open(t *testing.T, b *browsertest.Browser, s *webtest.Server, v browsertest.Viewport) *browsertest.Page {
	t.Helper()
	p := b.Open(t, s.URL+"/", v)
	p.Wait(`document.getElementById("model").value === "photo-x4"`)
	return p
}

// send chooses a file and submits it.
func send(p *browsertest.Page, path string) {
	p.Upload("#files", path)
	p.Wait(`!document.getElementById("submit").disabled`)
	p.Click("#submit")
}

// TestLooks keeps pictures of the page in all its states, for people to look at.
func TestLooks(t *testing.T) {
	if os.Getenv(browsertest.EnvScreenshots) == "" {
		t.Skipf("%s names no folder for screenshots", browsertest.EnvScreenshots)
	}
	b := browsertest.Start(t)
	for _, screen := range []struct {
		name string
		v    browsertest.Viewport
	}{{"desktop", browsertest.Desktop}, {"desktop-dark", browsertest.Desktop.InDark()}, {"phone", browsertest.Phone}, {"phone-dark", browsertest.Phone.InDark()}} {
		t.Run(screen.name, func(t *testing.T) {
			s := webtest.New(t, webtest.Options{})
			p := open(t, b, s, screen.v)
			p.Screenshot(screen.name + "-1-empty")
			p.Upload("#files", photo(t, "coffee.png", 96), photo(t, "a-second-photo-with-a-long-name.png", 64), file(t, "notes.png", []byte("no picture")))
			p.Wait(`document.querySelectorAll("#pending li").length === 3`)
			p.Wait(`document.querySelector("#pending li:nth-child(2) .detail").textContent.includes("to")`)
			p.Screenshot(screen.name + "-2-pending")
			p.Allow("415")
			p.Click("#submit")
			p.Wait(`document.querySelectorAll(".jobs li").length === 2`)
			s.AwaitWatched(0)
			s.Advance(6)
			p.Wait(`document.querySelectorAll(".strip button").length === 6`)
			p.Screenshot(screen.name + "-3-running")
			s.Advance(4)
			p.Wait(`document.querySelector(".compare .after")?.naturalWidth > 0`)
			p.Screenshot(screen.name + "-4-done")
		})
	}
}

// focus gives an element the keyboard.
func focus(css string) chromedp.Action[chromedp.Void] { return chromedp.Focus(chromedp.CSS(css)) }
