package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"image"
	_ "image/png" // results
	"net"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/sr3-go/sr3/internal/browsertest"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/server"
	"github.com/sr3-go/sr3/web"
	"github.com/sr3-go/sr3/worker"
)

// service is "sr3 serve" in this process: the real queue, the real worker with the
// built-in model, the real server.
type service struct {
	url   string
	queue *jobs.Queue
}

func startService(t *testing.T) *service {
	t.Helper()
	queue, err := jobs.Open(t.Context(), jobs.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	models := worker.NewModels("")
	srv, err := server.New(server.Options{Queue: queue, Models: models, Page: web.Files()})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	doer := worker.New(models, worker.Limits{}, 0)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() {
		done <- queue.Work(ctx, jobs.Worker{Name: "here", Parallel: 1, Do: func(ctx context.Context, task *jobs.Task) error { return doer.Do(ctx, task) }})
	}()
	go func() { done <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-done; err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
		if err := queue.Close(); err != nil {
			t.Error(err)
		}
	})
	return &service{url: "http://" + listener.Addr().String(), queue: queue}
}

// newest returns the job that was made last.
func (s *service) newest(t *testing.T) jobs.Job {
	t.Helper()
	list, err := s.queue.List(t.Context(), jobs.Filter{AllOwners: true, Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("newest job: %v, %v", list, err)
	}
	return list[0]
}

// TestEndToEnd enlarges photos through the page with the built-in model.
func TestEndToEnd(t *testing.T) {
	b := browsertest.Start(t)
	s := startService(t)
	p := b.Open(t, s.url+"/", browsertest.Desktop)
	p.Wait(`document.getElementById("model").value === "photo-x4"`)
	began := time.Now()
	endToEndSamples(t, s, p)
	endToEndCancel(t, s, p)
	reload(p)
	p.Wait(rows + ` === 2`)
	p.Click(`#history li:last-child .open`)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 192 && document.querySelector(".before").naturalWidth === 48`)
	endToEndPhone(t, s, p)
	t.Logf("took %v", time.Since(began))
}

// endToEndSamples watches draws come into being, compares them and downloads one.
func endToEndSamples(t *testing.T, s *service, p *browsertest.Page) {
	t.Helper()
	p.Fill("#samples", "2")
	p.Fill("#steps", "6")
	p.Fill("#seed", "5")
	send(p, photo(t, "coffee.png", 48))
	p.Wait(`document.querySelectorAll(".strip button").length >= 2 && document.querySelector(".strip img").naturalWidth > 48`)
	p.Wait(`/^Draw \d of 2, step \d of \d$/.test(document.querySelector(".status").textContent)`)
	p.Wait(`/γ 0\.\d+|γ 1\.000/.test(document.querySelector(".gamma").textContent)`)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 192`)
	job := s.newest(t)
	if job.Settings.Seed != 5 || job.Settings.Samples != 2 || job.Settings.Steps != 6 || job.Input.Width != 48 {
		t.Errorf("the job is %+v", job)
	}
	p.Do(focus(".split"))
	for range 5 {
		p.Press(kb.ArrowLeft)
	}
	p.Wait(handle + `.getAttribute("aria-valuenow") === "40"`)
	testLens(p)
	browsertest.Eval[bool](p, `document.getElementById("deviation").focus() ?? true`)
	p.Press(kb.End)
	p.Wait(`!document.querySelector(".overlay").hidden && document.querySelector(".overlay").naturalWidth === 192`)
	p.Press(kb.Home)
	p.Click(`[name=part][value=draws]`)
	p.Wait(`document.querySelectorAll(".gallery figure").length === 4 && [...document.querySelectorAll(".gallery img")].every((e) => e.naturalWidth === 192)`)
	p.Screenshot("e2e-draws")
	p.Click(`[name=part][value=compare]`)
	name, data := p.Download(func() { p.Click("#stage-action") })
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); name != "coffee_sr3.png" || got != job.Results[0].SHA256 {
		t.Errorf("downloaded %q with sha256 %s, want that of %+v", name, got, job.Results[0])
	}
	if c, format, err := image.DecodeConfig(bytes.NewReader(data)); err != nil || format != "png" || c.Width != 192 {
		t.Errorf("downloaded a %s of %d pixels width: %v", format, c.Width, err)
	}
}

// endToEndCancel calls a running job off.
func endToEndCancel(t *testing.T, s *service, p *browsertest.Page) {
	t.Helper()
	p.Fill("#samples", "1")
	p.Fill("#steps", "500")
	send(p, photo(t, "long.png", 64))
	p.Wait(`document.querySelector(".head h3").textContent === "long.png" && document.querySelectorAll(".strip button").length >= 2`)
	p.Click("#stage-action")
	p.Wait(`document.querySelector(".empty .lead")?.textContent === "This job was cancelled."`)
	if job := s.newest(t); job.State != jobs.Cancelled {
		t.Errorf("the job is %s", job.State)
	}
}

// endToEndPhone does one more on a narrow screen, with the keyboard's Enter alone.
func endToEndPhone(t *testing.T, s *service, p *browsertest.Page) {
	t.Helper()
	p.Resize(browsertest.Phone)
	p.Click(`.tabs [data-to=new]`)
	p.Fill("#steps", "2")
	p.Upload("#files", photo(t, "phone.png", 32))
	p.Wait(`!document.getElementById("submit").disabled`)
	p.Do(focus("#submit"))
	p.Press(kb.Enter)
	p.Wait(`document.body.dataset.view === "picture" && document.querySelector(".compare .after")?.naturalWidth === 128`)
	if w := browsertest.Eval[int](p, `document.documentElement.scrollWidth`); w > 390 {
		t.Errorf("the page is %d pixels wide", w)
	}
	p.Screenshot("e2e-phone")
}
