package browsertest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// watcher collects what a page must not do: errors on its console, exceptions,
// violations of the content security policy and requests to other servers.
type watcher struct {
	origin string

	mu       sync.Mutex
	allowed  []string
	problems []string
	requests []string
}

// see is called by the browser's reader for every event of the page.
func (w *watcher) see(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			w.problem("console: " + arguments(e.Args))
		}
	case *runtime.EventExceptionThrown:
		w.problem("exception: " + exception(e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry != nil && e.Entry.Level == log.EntryLevelError {
			w.problem(fmt.Sprintf("log: %s (%s)", e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		w.request(e.Request.Method, e.Request.URL)
	}
}

func arguments(args []*runtime.RemoteObject) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = string(a.Value)
		if a.Description != "" {
			words[i] = a.Description
		}
	}
	return strings.Join(words, " ")
}

func exception(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return fmt.Sprintf("%s (%s:%d)", d.Text, d.URL, d.LineNumber+1)
}

func (w *watcher) problem(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, text)
}

func (w *watcher) request(method, url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, method+" "+url)
	own := url == w.origin || strings.HasPrefix(url, w.origin+"/")
	local := strings.HasPrefix(url, "data:") || strings.HasPrefix(url, "blob:"+w.origin+"/") || url == "about:blank"
	if !own && !local {
		w.problems = append(w.problems, "request to another server: "+method+" "+url)
	}
}

func (w *watcher) allow(parts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allowed = append(w.allowed, parts...)
}

// left returns the problems that nothing allowed covers.
func (w *watcher) left() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.problems), func(p string) bool {
		return slices.ContainsFunc(w.allowed, func(a string) bool { return strings.Contains(p, a) })
	})
}
