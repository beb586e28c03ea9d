package study_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/study"
)

// textured is an image that depends on its seed; a smooth one compresses much better.
func textured(seed, w, h int, smooth bool) *imageio.Image {
	pix := make([]uint8, 0, 3*w*h)
	for y := range h {
		for x := range w {
			v := uint8(60 + (x*3+y*5+seed*40)%140)
			n := uint8((x*x*7 + y*y*13 + x*y*(seed+3)) % 97)
			if smooth {
				n = 40
			}
			pix = append(pix, v/2+n, v/3+n, uint8(200-int(v)/2)/2+n)
		}
	}
	img, err := imageio.FromRGB8(w, h, pix)
	if err != nil {
		panic(err)
	}
	img.Meta.Text = map[string]string{"Title": "original"}
	return img
}

// build makes a study of n images of 48x32 pixels.
func build(t testing.TB, n int, change func(*study.Manifest)) *study.Folder {
	t.Helper()
	m := study.NewManifest()
	m.Seed, m.Catch = 5, 1
	m.Contact = "Write to study@example.org."
	m.Methods = []study.MethodEntry{{Name: "bicubic"}, {Name: "sr3"}}
	if change != nil {
		change(&m)
	}
	b, err := study.Begin(filepath.Join(t.TempDir(), "study"), m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var results []*imageio.Image
		for k := range m.Methods {
			results = append(results, textured(i+k, 48, 32, true))
		}
		if err := b.Add(fmt.Sprintf("photo-%d", i), textured(i, 48, 32, false), textured(i, 12, 8, false), results); err != nil {
			t.Fatal(err)
		}
	}
	f, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func openStore(t testing.TB, f *study.Folder) *study.Store {
	t.Helper()
	s, err := f.OpenStore(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// site is a study that is being served.
type site struct {
	folder *study.Folder
	store  *study.Store
	url    string
}

func serve(t testing.TB, f *study.Folder, o study.Options) *site {
	t.Helper()
	s := openStore(t, f)
	h, err := study.NewServer(t.Context(), f, s, o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &site{f, s, server.URL}
}

// join makes a subject and returns the address of their page.
func (s *site) join(t testing.TB) string {
	t.Helper()
	tokens, err := s.store.AddSubjects(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return s.url + "/s/" + tokens[0]
}

func post(t testing.TB, url, body string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r, readAll(t, r)
}

func get(t testing.TB, url string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return r, readAll(t, r)
}

func readAll(t testing.TB, r *http.Response) []byte {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// view is what pages read of the state.
type view struct {
	Next, Total int
	Agreed      bool
	Trials      []struct {
		Trial            int
		Left, Right, Low string
	}
}

func parse(t testing.TB, data []byte) view {
	t.Helper()
	var v view
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

func answerBody(trial int, choice string) string {
	return fmt.Sprintf(`{"trial":%d,"choice":%q,"response_ms":3512.25,"shown_ms":3000.5,"views":1}`, trial, choice)
}

// TestWholeStudy goes through a study by its addresses and looks at what is stored.
func TestWholeStudy(t *testing.T) {
	f := build(t, 7, func(m *study.Manifest) { m.PerSubject = 5 })
	s := serve(t, f, study.Options{})
	page := s.join(t)
	_, data := get(t, page+"/state")
	if v := parse(t, data); v.Agreed || v.Next != 0 || v.Total != 6 || len(v.Trials) != 0 {
		t.Errorf("before consent: %s", data)
	}
	if r, body := post(t, page+"/answers", answerBody(0, "left")); r.StatusCode != http.StatusForbidden {
		t.Errorf("answer without consent: %d %s", r.StatusCode, body)
	}
	if r, body := post(t, page+"/consent", `{"agree":false}`); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("no consent: %d %s", r.StatusCode, body)
	}
	_, data = post(t, page+"/consent", `{"agree":true}`)
	trials := f.Manifest.Design().Trials(0)
	for v := parse(t, data); v.Next < v.Total; v = parse(t, data) {
		next := v.Trials[0]
		if next.Trial != v.Next || len(v.Trials) != min(3, v.Total-v.Next) {
			t.Fatalf("window %+v at %d", v.Trials, v.Next)
		}
		trial := trials[v.Next]
		checkSides(t, s, f, trial, next.Left, next.Right, next.Low)
		var again []byte
		_, data = post(t, page+"/answers", answerBody(v.Next, "left"))
		if _, again = post(t, page+"/answers", answerBody(v.Next, "right")); !bytes.Equal(again, data) {
			t.Errorf("sent twice: %s, then %s", data, again)
		}
		for _, times := range []string{`"response_ms":0,"shown_ms":0`, `"response_ms":2000,"shown_ms":3000`, `"response_ms":3500,"shown_ms":2900`} {
			if r, _ := post(t, page+"/answers", fmt.Sprintf(`{"trial":%d,"choice":"left",%s,"views":1}`, v.Next+1, times)); r.StatusCode != http.StatusUnprocessableEntity {
				t.Errorf("an answer before the pair has gone, %s: %d", times, r.StatusCode)
			}
		}
		if r, _ := post(t, page+"/answers", answerBody(v.Next+2, "left")); r.StatusCode != http.StatusConflict {
			t.Errorf("an answer ahead of its time: %d", r.StatusCode)
		}
		if r, _ := get(t, s.url+next.Left); r.StatusCode != http.StatusNotFound {
			t.Errorf("an image of an answered trial: %d", r.StatusCode)
		}
	}
	answers, err := s.store.Answers(t.Context())
	if err != nil || len(answers) != 6 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, a := range answers {
		method := ""
		if m := trials[i].Method; m != foolrate.Catch {
			method = f.Manifest.Methods[m].Name
		}
		want := foolrate.Answer{Subject: "0000", Trial: i, Image: f.Manifest.Images[trials[i].Image].Name, Method: method,
			OriginalLeft: trials[i].OriginalLeft, Choice: foolrate.Left, Response: 3512.25, Shown: 3000.5, Views: 1}
		if a != want {
			t.Errorf("answer %d is %+v, want %+v", i, a, want)
		}
	}
	if p, err := s.store.Progress(t.Context()); err != nil || p != (study.Progress{Links: 1, Agreed: 1, Finished: 1, Answers: 6}) {
		t.Errorf("progress %+v, %v", p, err)
	}
}

// checkSides compares what stands left and right with the trial, and looks for
// whatever could tell the two apart but the pixels.
func checkSides(t *testing.T, s *site, f *study.Folder, trial foolrate.Trial, left, right, low string) {
	t.Helper()
	original, err := os.ReadFile(filepath.Join(f.Dir, "images", fmt.Sprintf("%05d-original.png", trial.Image)))
	if err != nil {
		t.Fatal(err)
	}
	other := fmt.Sprintf("%05d-catch.png", trial.Image)
	if trial.Method != foolrate.Catch {
		other = fmt.Sprintf("%05d-method-%02d.png", trial.Image, trial.Method)
	}
	result, err := os.ReadFile(filepath.Join(f.Dir, "images", other))
	if err != nil {
		t.Fatal(err)
	}
	wantLeft, wantRight := result, original
	if trial.OriginalLeft {
		wantLeft, wantRight = original, result
	}
	rl, gotLeft := get(t, s.url+left)
	rr, gotRight := get(t, s.url+right)
	if !bytes.Equal(gotLeft, wantLeft) || !bytes.Equal(gotRight, wantRight) {
		t.Error("the images stand on the wrong sides")
	}
	if len(gotLeft) != len(gotRight) || len(left) != len(right) {
		t.Errorf("lengths tell the images apart: %d and %d bytes, %s and %s", len(gotLeft), len(gotRight), left, right)
	}
	for key := range rl.Header {
		if key != "Date" && rl.Header.Get(key) != rr.Header.Get(key) {
			t.Errorf("the header %s tells the images apart: %q and %q", key, rl.Header.Get(key), rr.Header.Get(key))
		}
	}
	for _, data := range [][]byte{gotLeft, gotRight} {
		if text, err := imageio.ReadText(data, "shown"); err != nil || len(text) > 0 {
			t.Errorf("an image says %v, %v", text, err)
		}
		if img, err := png.Decode(bytes.NewReader(data)); err != nil || img.Bounds().Dx() != 48 {
			t.Errorf("%v", err)
		}
	}
	if _, data := get(t, s.url+low); f.Manifest.Task == foolrate.WithInput && len(data) != len(gotLeft) {
		t.Errorf("the low-resolution image has %d bytes, the others %d", len(data), len(gotLeft))
	}
	for _, address := range []string{left, right, low} {
		for _, word := range append(f.Manifest.MethodNames(), "original", "photo", "method", "left", "right") {
			if strings.Contains(address, word) {
				t.Errorf("the address %s says %q", address, word)
			}
		}
	}
}

// TestResume: after the server begins anew, a subject finds the same trial, the same
// addresses and the same sides.
func TestResume(t *testing.T) {
	f := build(t, 8, func(m *study.Manifest) { m.Task, m.Allocation = foolrate.WithoutInput, foolrate.Mixed })
	s := serve(t, f, study.Options{})
	page := s.join(t)
	post(t, page+"/consent", `{"agree":true}`)
	post(t, page+"/answers", answerBody(0, "right"))
	_, before := get(t, page+"/state")
	if strings.Contains(string(before), `"low"`) {
		t.Errorf("task 2 shows the low-resolution image: %s", before)
	}
	s.store.Close()
	reopened, err := study.Open(f.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := reopened.Verify(); err != nil {
		t.Fatal(err)
	}
	again := serve(t, reopened, study.Options{})
	_, after := get(t, again.url+strings.TrimPrefix(page, s.url)+"/state")
	if !bytes.Equal(before, after) || parse(t, after).Next != 1 {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestOpenAndClosed(t *testing.T) {
	f := build(t, 3, nil)
	closed := serve(t, f, study.Options{})
	if r, body := get(t, closed.url+"/"); r.StatusCode != 200 || strings.Contains(string(body), "<form") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if r, _ := post(t, closed.url+"/start", ""); r.StatusCode != http.StatusForbidden {
		t.Errorf("a closed study lets people in: %d", r.StatusCode)
	}
	open := serve(t, f, study.Options{Open: true})
	if r, body := get(t, open.url+"/"); r.StatusCode != 200 || !strings.Contains(string(body), "<form") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	r, body := post(t, open.url+"/start", "")
	if r.StatusCode != 200 || !strings.HasPrefix(r.Request.URL.Path, "/s/") || !strings.Contains(string(body), "study.js") {
		t.Errorf("%d at %s", r.StatusCode, r.Request.URL)
	}
	limited := 0
	for range 130 {
		if r, _ := post(t, open.url+"/start", ""); r.StatusCode == http.StatusTooManyRequests && r.Header.Get("Retry-After") != "" {
			limited++
		}
	}
	if limited == 0 {
		t.Error("people can be made without limit")
	}
}

func TestManifestIsFixedOnceBegun(t *testing.T) {
	f := build(t, 4, nil)
	edit := func(from, to string) {
		t.Helper()
		path := filepath.Join(f.Dir, study.ManifestFile)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), from) {
			t.Fatalf("no %q in\n%s", from, data)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(data), from, to, 1)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	reopen := func() error {
		g, err := study.Open(f.Dir)
		if err != nil {
			return err
		}
		s, err := g.OpenStore(t.Context())
		if err == nil {
			err = s.Close()
		}
		return err
	}
	openStore(t, f).Close()
	edit("display_ms = 3000", "display_ms = 2000")
	if err := reopen(); err != nil {
		t.Errorf("a change before anybody took part: %v", err)
	}
	s := openStore(t, mustOpen(t, f.Dir))
	tokens, err := s.AddSubjects(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Agree(t.Context(), tokens[0]); err != nil {
		t.Fatal(err)
	}
	edit("display_ms = 2000", "display_ms = 1000")
	if err := reopen(); err == nil || !strings.Contains(err.Error(), "after somebody took part") {
		t.Errorf("a change afterwards: %v", err)
	}
	edit("display_ms = 1000", "display_ms = 2000")
	edit("study@example.org", "other@example.org")
	if err := reopen(); err != nil {
		t.Errorf("another text: %v", err)
	}
	for from, to := range map[string]string{"title =": "titel =", "task = 1": "task = 3"} {
		edit(from, to)
		if err := reopen(); err == nil || !strings.Contains(err.Error(), study.ManifestFile) {
			t.Errorf("%s: %v", to, err)
		}
		edit(to, from)
	}
	image := filepath.Join(f.Dir, "images", "00001-original.png")
	if err := os.WriteFile(image, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, f.Dir).Verify(); err == nil || !strings.Contains(err.Error(), "00001-original.png") {
		t.Errorf("a changed image: %v", err)
	}
	if err := os.Remove(image); err != nil {
		t.Fatal(err)
	}
	if _, err := study.Open(f.Dir); err == nil || !strings.Contains(err.Error(), "photo-1 is missing") {
		t.Errorf("a missing image: %v", err)
	}
	if _, err := study.Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "sr3 study new") {
		t.Errorf("no study: %v", err)
	}
}

func mustOpen(t *testing.T, dir string) *study.Folder {
	t.Helper()
	f, err := study.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestBuilderRefuses(t *testing.T) {
	m := study.NewManifest()
	m.Methods = []study.MethodEntry{{Name: "a"}}
	dir := t.TempDir()
	b, err := study.Begin(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	full, small := textured(1, 40, 40, false), textured(1, 10, 10, false)
	for want, try := range map[string]func() error{
		"one size":                func() error { return b.Add("x", full, small, []*imageio.Image{textured(1, 40, 39, true)}) },
		"0 results for 1 methods": func() error { return b.Add("x", full, small, nil) },
		"low-resolution":          func() error { return b.Add("x", full, textured(1, 41, 40, true), []*imageio.Image{full}) },
		"sides of 8":              func() error { return b.Add("x", textured(1, 7, 40, true), small, []*imageio.Image{full}) },
		"no images":               func() error { _, err := b.Finish(); return err },
		"not empty":               func() error { _, err := study.Begin(dir, m); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	for range 2 {
		if err := b.Add("twice", full, small, []*imageio.Image{full}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(); err == nil || !strings.Contains(err.Error(), "comes twice") {
		t.Errorf("%v", err)
	}
	if _, err := study.Open(dir); err == nil {
		t.Error("an unfinished study can be opened")
	}
}

// TestManyAtOnce: people who come at the same moment get numbers of their own, and
// all their answers are stored, also those that browsers send twice at once.
func TestManyAtOnce(t *testing.T) {
	f := build(t, 6, func(m *study.Manifest) { m.PerSubject = 3 })
	s := serve(t, f, study.Options{})
	const people = 16
	tokens, err := s.store.AddSubjects(t.Context(), people)
	if err != nil {
		t.Fatal(err)
	}
	send := func(url, body string) error {
		r, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, r.Status)
		}
		return nil
	}
	errs := make(chan error, 2*people)
	for _, token := range tokens {
		for range 2 { // two windows of one person
			go func() {
				err := send(s.url+"/s/"+token+"/consent", `{"agree":true}`)
				for trial := 0; err == nil && trial < 4; trial++ {
					err = send(s.url+"/s/"+token+"/answers", answerBody(trial, "left"))
				}
				errs <- err
			}()
		}
	}
	for range 2 * people {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if p, err := s.store.Progress(t.Context()); err != nil || p != (study.Progress{Links: people, Agreed: people, Finished: people, Answers: 4 * people}) {
		t.Errorf("%+v, %v", p, err)
	}
	answers, err := s.store.Answers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := foolrate.Analyse(answers, f.Manifest.MethodNames(), foolrate.Rules{}); err != nil {
		t.Error(err)
	}
}
