package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// fakeMeter has a clock that goes on a second at every look.
func fakeMeter(bar, ansi bool) (*meter, *bytes.Buffer) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	return &meter{w: &out, bar: bar, ansi: ansi, nowFunc: func() time.Time { now = now.Add(time.Second); return now }}, &out
}

func TestMeterLines(t *testing.T) {
	m, out := fakeMeter(false, true)
	m.begin("a.png")
	for i := range 100 {
		m.update(float64(i+1)/100, "step")
	}
	if n := strings.Count(out.String(), "\n"); n != 10 {
		t.Errorf("%d lines, want one for every tenth:\n%s", n, out)
	}
	if strings.ContainsAny(out.String(), "\r\x1b") {
		t.Error("control characters in a file")
	}
}

func TestMeterBar(t *testing.T) {
	for _, ansi := range []bool{true, false} {
		m, out := fakeMeter(true, ansi)
		m.begin("a.png")
		m.update(0.5, "step 1/2")
		if !strings.Contains(out.String(), "[============            ]  50%  step 1/2") {
			t.Errorf("bar %q", out)
		}
		m.clear()
		if strings.Contains(out.String(), "\n") || strings.Contains(out.String(), "\x1b") != ansi {
			t.Errorf("ANSI %v: %q", ansi, out)
		}
	}
}

func TestMeterQuiet(t *testing.T) {
	m, out := fakeMeter(false, true)
	m.quiet = true
	m.begin("a.png")
	m.update(1, "step")
	m.status("step")
	m.clear()
	if out.Len() > 0 {
		t.Errorf("quiet wrote %q", out)
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1500 * time.Millisecond: "1.5s", 42 * time.Second: "42s", 125 * time.Second: "2m05s", 3*time.Hour + 7*time.Minute: "3h07m",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
