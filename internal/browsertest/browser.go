// Package browsertest drives Debian's chromium, or another Chrome, in tests of
// pages. A test without a browser is skipped with a word; a page that logs an error
// or asks another server for anything fails its test.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// Environment variables that tests with a browser obey.
const (
	// EnvBrowser is the browser's program: a path or a name on PATH. The word
	// "none" skips the tests.
	EnvBrowser = "CHROME"
	// EnvScreenshots is the folder that keeps screenshots; without it they go to the
	// test's own temporary folder and vanish with it.
	EnvScreenshots = "SR3_SCREENSHOTS"
)

// programs are the names under which systems install the browser.
var programs = []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "chrome-headless-shell"}

// Find returns the path of a browser: the one that EnvBrowser names, else the first
// known name on PATH. It reports false where there is none.
func Find() (string, bool) {
	names := programs
	if name := os.Getenv(EnvBrowser); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// Browser is a running headless browser that belongs to one test.
type Browser struct {
	ctx   context.Context
	shots string
}

// Start runs a headless browser until the test ends, or skips the test where there is
// none, or where tests are asked to be short. The browser resolves no host names: it reaches servers on 127.0.0.1 alone.
// Pages of one browser do not share storage; subtests may share the browser.
func Start(t testing.TB) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("browsers take too long for short tests")
	}
	path, ok := Find()
	if !ok {
		t.Skipf("no browser: install chromium, or name one in %s", EnvBrowser)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("no-sandbox", os.Getuid() == 0), // the sandbox refuses to run as root
		chromedp.Flag("disable-dev-shm-usage", true),  // containers have little of it
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("hide-scrollbars", false),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf), chromedp.WithLogf(func(string, ...any) {}))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting the browser %s: %v", path, err)
	}
	return &Browser{ctx: ctx, shots: shotFolder(t)}
}

func shotFolder(t testing.TB) string {
	dir := os.Getenv(EnvScreenshots)
	if dir == "" {
		return t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("folder for screenshots: %v", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatalf("folder for screenshots: %v", err)
	}
	return abs
}
