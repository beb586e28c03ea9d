package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// meter shows how far a piece of work has come: a bar that redraws itself on a
// terminal, a line for every tenth elsewhere, nothing when quiet.
type meter struct {
	w     io.Writer
	bar   bool
	quiet bool
	ansi  bool

	label   string
	start   time.Time
	drawn   time.Time
	tenth   int
	width   int // of the bar's line as drawn last
	nowFunc func() time.Time
}

// newMeter chooses the form that fits w.
func newMeter(w io.Writer, quiet bool) *meter {
	m := &meter{w: w, quiet: quiet, ansi: os.Getenv("NO_COLOR") == "", nowFunc: time.Now}
	if f, ok := w.(*os.File); ok {
		m.bar = term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	}
	return m
}

// begin starts a piece of work.
func (m *meter) begin(label string) {
	m.label, m.start, m.tenth, m.drawn = label, m.nowFunc(), 0, time.Time{}
}

// update shows that a share (0 to 1) of the work is done; what says where it is.
func (m *meter) update(share float64, what string) {
	if m.quiet {
		return
	}
	now := m.nowFunc()
	if !m.bar {
		if tenth := int(share*10 + 1e-9); tenth > m.tenth {
			m.tenth = tenth
			fmt.Fprintf(m.w, "%s: %3d%%  %s  %s\n", m.label, tenth*10, what, m.remaining(share, now))
		}
		return
	}
	if now.Sub(m.drawn) < 100*time.Millisecond && share < 1 {
		return
	}
	m.drawn = now
	const cells = 24
	full := int(share*cells + 1e-9)
	m.draw(fmt.Sprintf("%s [%s%s] %3.0f%%  %s  %s", m.label,
		strings.Repeat("=", full), strings.Repeat(" ", cells-full), share*100, what, m.remaining(share, now)))
}

func (m *meter) remaining(share float64, now time.Time) string {
	elapsed := now.Sub(m.start)
	if share <= 0 || elapsed < 500*time.Millisecond || share >= 1 {
		return "elapsed " + shortDuration(elapsed)
	}
	return "about " + shortDuration(time.Duration(float64(elapsed)*(1-share)/share)) + " left"
}

// status shows a line that replaces itself on a terminal; elsewhere a line at
// most every ten seconds.
func (m *meter) status(line string) {
	now := m.nowFunc()
	pause := 10 * time.Second
	if m.bar {
		pause = 100 * time.Millisecond
	}
	if m.quiet || now.Sub(m.drawn) < pause {
		return
	}
	m.drawn = now
	if m.bar {
		m.draw(line)
		return
	}
	fmt.Fprintln(m.w, line)
}

// draw replaces the bar's line. Without ANSI sequences the rest of the old line
// is overwritten with blanks.
func (m *meter) draw(line string) {
	if m.ansi {
		fmt.Fprintf(m.w, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintf(m.w, "\r%-*s", m.width, line)
	}
	m.width = len(line)
}

// clear takes the bar away, so that a message can stand in its place.
func (m *meter) clear() {
	if m.bar && m.width > 0 {
		m.draw("")
		fmt.Fprint(m.w, "\r")
		m.width = 0
	}
}

// shortDuration prints a duration as a person would say it.
func shortDuration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
