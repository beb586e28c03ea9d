package browsertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Download does what makes the page save a file, and returns the name that it
// suggests and the bytes.
func (p *Page) Download(act func()) (name string, data []byte) {
	p.t.Helper()
	dir := p.t.TempDir()
	begun, done := make(chan string, 1), make(chan browser.EventDownloadProgress, 1)
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	err := chromedp.ListenBrowser(ctx, func(event any) {
		switch e := event.(type) {
		case *browser.EventDownloadWillBegin:
			begun <- e.SuggestedFilename
		case *browser.EventDownloadProgress:
			if e.State != browser.DownloadProgressStateInProgress {
				done <- *e
			}
		}
	})
	if err != nil {
		p.fail("listening for a download: %v", err)
	}
	yes := true
	if _, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
		DownloadPath: dir, EventsEnabled: &yes}); err != nil {
		p.fail("allowing a download: %v", err)
	}
	act()
	select {
	case e := <-done:
		data, err := os.ReadFile(filepath.Join(dir, e.GUID))
		if err != nil {
			p.fail("download %s: %v", e.State, err)
		}
		return <-begun, data
	case <-ctx.Done():
		p.fail("nothing was downloaded")
		return "", nil
	}
}

// Offline cuts the page off from every server, or connects it again.
func (p *Page) Offline(off bool) {
	p.t.Helper()
	conditions := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{}}
	if off {
		conditions.MatchedNetworkConditions = append(conditions.MatchedNetworkConditions, &network.Conditions{Offline: true})
	}
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.EmulateNetworkConditionsByRule, conditions)
		return err
	}))
}

// controls are the roles of elements that a reader can do something with.
var controls = []string{"button", "checkbox", "combobox", "link", "radio", "slider", "spinbutton", "textbox", "tab", "application", "dialog", "img", "image", "progressbar"}

// Unnamed returns the roles of controls and pictures that screen readers know no name for.
func (p *Page) Unnamed() []string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	tree, err := chromedp.Run(ctx, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	if err != nil {
		p.fail("accessibility tree: %v", err)
	}
	var bare []string
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role := text(n.Role)
		if slices.Contains(controls, role) && text(n.Name) == "" {
			bare = append(bare, role)
		}
	}
	return bare
}

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	s := string(v.Value)
	if len(s) >= 2 && s[0] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// Settle waits until the page has drawn what it has to draw.
func (p *Page) Settle() {
	p.t.Helper()
	Eval[bool](p, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
}

// Reload loads the page again.
func (p *Page) Reload() { p.t.Helper(); p.Do(chromedp.Reload()) }

// Select chooses an option of a list by its value, as a reader does.
func (p *Page) Select(css, value string) {
	p.t.Helper()
	if !Eval[bool](p, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.value = %q;
		for (const kind of ["input", "change"]) e.dispatchEvent(new Event(kind, { bubbles: true }));
		return e.value === %q; })()`, css, value, value)) {
		p.fail("%s has no option %q", css, value)
	}
}
