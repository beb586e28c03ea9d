package web_test

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/web"
)

// TestFiles holds the page to its policy and its modules to their size.
func TestFiles(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:[^>]*)>[^<]`)
	elsewhere := regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9-]+\.[a-z]`)
	used := regexp.MustCompile(`assets/[a-z0-9.]+|from "\./([a-z]+\.js)"`)
	mentioned := map[string]bool{}
	err := fs.WalkDir(web.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(web.Files(), name)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(data), `xmlns="http://www.w3.org/2000/svg"`, "")
		text = strings.ReplaceAll(text, `"http://www.w3.org/2000/svg"`, "")
		if found := elsewhere.FindString(text); found != "" {
			t.Errorf("%s names another server: %s", name, found)
		}
		if path.Ext(name) == ".html" && inline.MatchString(text) {
			t.Errorf("%s has inline code or style: %s", name, inline.FindString(text))
		}
		for _, m := range used.FindAllStringSubmatch(text, -1) {
			if m[1] != "" {
				m[0] = "assets/" + m[1]
			}
			mentioned[m[0]] = true
		}
		if path.Ext(name) == ".js" {
			if n := bytes.Count(data, []byte("\n")); n > 250 || !strings.HasPrefix(text, "// ") {
				t.Errorf("%s has %d lines, want up to 250 that begin with a comment", name, n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = fs.WalkDir(web.Files(), "assets", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !mentioned[name] {
			t.Errorf("%s is not used", name)
		}
		return err
	})
	for name := range mentioned {
		if _, err := fs.Stat(web.Files(), name); err != nil {
			t.Errorf("the page uses %s: %v", name, err)
		}
	}
}

// TestContrast computes the contrast of text in both sets of colours by WCAG 2.2: 4.5 for
// text, 3 for the edges of fields.
func TestContrast(t *testing.T) {
	data, err := fs.ReadFile(web.Files(), "assets/base.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, _ := strings.Cut(string(data), "prefers-color-scheme: dark")
	for scheme, css := range map[string]string{"light": light, "dark": dark} {
		colour := map[string]float64{}
		for lines := bufio.NewScanner(strings.NewReader(css)); lines.Scan(); {
			if m := regexp.MustCompile(`^\s*--([a-z-]+): #([0-9a-f]{6});`).FindStringSubmatch(lines.Text()); m != nil {
				colour[m[1]] = luminance(t, m[2])
			}
		}
		for _, c := range []struct {
			text, ground string
			least        float64
		}{
			{"text", "ground", 4.5}, {"text", "panel", 4.5}, {"text", "well", 4.5}, {"text", "raised", 4.5},
			{"muted", "ground", 4.5}, {"muted", "panel", 4.5}, {"muted", "well", 4.5},
			{"accent", "panel", 4.5}, {"accent", "accent-soft", 4.5}, {"on-accent", "accent", 4.5},
			{"danger", "ground", 4.5}, {"danger", "panel", 4.5}, {"danger", "well", 4.5}, {"danger", "danger-soft", 4.5},
			{"edge", "panel", 3},
		} {
			a, okA := colour[c.text]
			b, okB := colour[c.ground]
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); !okA || !okB || got < c.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %v", scheme, c.text, c.ground, got, c.least)
			}
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	v, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(c uint64) float64 {
		s := float64(c&255) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(v>>16) + 0.7152*linear(v>>8) + 0.0722*linear(v)
}
