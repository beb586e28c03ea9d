package webtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/web"
)

// problem is the body of an error, application/problem+json.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

// view is a job as it is sent.
type view struct {
	jobs.Job
	Links   map[string]string `json:"links"`
	Preview string            `json:"preview,omitempty"`
}

func viewOf(j jobs.Job, preview string) view {
	self := "/v1/jobs/" + j.ID
	return view{j, map[string]string{"self": self, "events": self + "/events", "result": self + "/result"}, preview}
}

// policy is the strictest under which the page has to work.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	page := http.FileServerFS(web.Files())
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		page.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /v1/limits", func(w http.ResponseWriter, _ *http.Request) {
		send(w, http.StatusOK, map[string]any{"max_bytes": s.options.MaxBytes, "max_input_pixels": 1 << 20, "max_output_pixels": 1 << 22,
			"max_steps": 1000, "max_samples": 16, "auth": s.options.Key != "", "keep_seconds": 86400})
	})
	mux.HandleFunc("GET /v1/models", s.guard(s.models))
	mux.HandleFunc("POST /v1/jobs", s.guard(s.submit))
	mux.HandleFunc("GET /v1/jobs", s.guard(s.index))
	mux.HandleFunc("GET /v1/jobs/{id}", s.guard(s.one(func(w http.ResponseWriter, _ *http.Request, e *entry) { send(w, http.StatusOK, viewOf(e.job, "")) })))
	mux.HandleFunc("DELETE /v1/jobs/{id}", s.guard(s.one(s.remove)))
	mux.HandleFunc("POST /v1/jobs/{id}/cancel", s.guard(s.one(s.cancel)))
	mux.HandleFunc("GET /v1/jobs/{id}/input", s.guard(s.one(func(w http.ResponseWriter, _ *http.Request, e *entry) {
		sendImage(w, e.job.Input, e.input)
	})))
	mux.HandleFunc("GET /v1/jobs/{id}/result", s.guard(s.one(s.result)))
	mux.HandleFunc("GET /v1/jobs/{id}/events", s.guard(s.events))
	return mux
}

// guard asks for the key and plays the refusals.
func (s *Server) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.options.Key != "" && r.Header.Get("Authorization") != "Bearer "+s.options.Key {
			refuse(w, http.StatusUnauthorized, "key-unknown", "This server asks for a key, and this one is not among its keys.")
			return
		}
		if p := s.refusal(r); p != nil {
			if p.retryAfter != "" {
				w.Header().Set("Retry-After", p.retryAfter)
			}
			refuse(w, p.problem.Status, p.problem.Code, p.problem.Detail)
			return
		}
		next(w, r)
	}
}

func (s *Server) refusal(r *http.Request) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.refusals, func(f *refusal) bool { return f.method == r.Method && strings.HasPrefix(r.URL.Path, f.prefix) })
	if i < 0 {
		return nil
	}
	found := s.refusals[i]
	s.refusals = slices.Delete(s.refusals, i, i+1)
	return found
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	send(w, http.StatusOK, map[string]any{"models": []map[string]any{
		{"name": "photo-x4", "scale": 4, "objective": "diffusion", "trained_for": "photos that were reduced by bicubic", "steps": s.options.Steps, "samplers": []string{"ddim", "ancestral"}, "default": true},
		{"name": "face-x2", "scale": 2, "objective": "regression", "trained_for": "faces", "steps": 1, "samplers": []string{}, "default": false},
	}})
}

func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	var settings jobs.Settings
	if err := json.Unmarshal([]byte(r.FormValue("settings")), &settings); err != nil {
		refuse(w, http.StatusUnprocessableEntity, "settings-invalid", err.Error())
		return
	}
	f, header, err := r.FormFile("image")
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "image-missing", err.Error())
		return
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return // the client is gone
	}
	object, err := describe(header.Filename, data)
	if err != nil {
		refuse(w, http.StatusUnsupportedMediaType, "image-unknown-format", fmt.Sprintf("%s is not an image that this server reads: PNG, JPEG, WebP, TIFF, BMP or GIF.", header.Filename))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.jobs {
		if key := r.Header.Get("Idempotency-Key"); key != "" && e.key == key {
			send(w, http.StatusOK, viewOf(e.job, ""))
			return
		}
	}
	s.complete(&settings)
	e := &entry{key: r.Header.Get("Idempotency-Key"), input: data,
		job: jobs.Job{ID: newID(len(s.jobs)), State: jobs.Available, Settings: settings, Input: object, Created: time.Now()}}
	s.jobs = append(s.jobs, e)
	s.wake()
	w.Header().Set("Location", "/v1/jobs/"+e.job.ID)
	send(w, http.StatusAccepted, viewOf(e.job, ""))
}

// complete fills in what the settings leave to the model.
func (s *Server) complete(o *jobs.Settings) {
	if o.Model == "" {
		o.Model = "photo-x4"
	}
	if o.Steps == 0 {
		o.Steps = s.options.Steps
	}
	if o.Scale == 0 && o.Width == 0 {
		o.Scale = 4
	}
	if o.Format == "" {
		o.Format = "png"
	}
}

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 {
		limit = 100
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list, next := []view{}, ""
	for _, e := range slices.Backward(s.jobs) {
		if before := r.URL.Query().Get("before"); before != "" && e.job.ID >= before {
			continue
		}
		if len(list) == limit {
			next = list[limit-1].ID
			break
		}
		list = append(list, viewOf(e.job, ""))
	}
	send(w, http.StatusOK, map[string]any{"jobs": list, "next": next})
}

// one finds the job that the path names.
func (s *Server) one(next func(http.ResponseWriter, *http.Request, *entry)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.IndexFunc(s.jobs, func(e *entry) bool { return e.job.ID == r.PathValue("id") })
		if i < 0 {
			refuse(w, http.StatusNotFound, "job-unknown", "There is no such job.")
			return
		}
		next(w, r, s.jobs[i])
	}
}

func (s *Server) remove(w http.ResponseWriter, _ *http.Request, e *entry) {
	if !e.job.State.Finished() {
		e.finish(jobs.Cancelled)
	}
	s.jobs = slices.DeleteFunc(s.jobs, func(o *entry) bool { return o == e })
	s.wake()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) cancel(w http.ResponseWriter, _ *http.Request, e *entry) {
	if e.job.State.Finished() {
		refuse(w, http.StatusConflict, "job-finished", "The job has finished already.")
		return
	}
	e.finish(jobs.Cancelled)
	s.wake()
	send(w, http.StatusOK, viewOf(e.job, ""))
}

func (s *Server) result(w http.ResponseWriter, r *http.Request, e *entry) {
	name := r.URL.Query().Get("name")
	if name == "" {
		name = jobs.ResultImage
	}
	i := slices.IndexFunc(e.job.Results, func(o jobs.Object) bool { return o.Name == name })
	if i < 0 {
		refuse(w, http.StatusConflict, "job-unfinished", "The job has no such result yet.")
		return
	}
	sendImage(w, e.job.Results[i], e.results[name])
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	i := slices.IndexFunc(s.jobs, func(e *entry) bool { return e.job.ID == r.PathValue("id") })
	if i < 0 {
		s.mu.Unlock()
		refuse(w, http.StatusNotFound, "job-unknown", "There is no such job.")
		return
	}
	e := s.jobs[i]
	seen, first := len(e.events), e.job
	e.watchers++
	s.wake()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		e.watchers--
		s.wake()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ": hello\r\n\r\n")
	kind := "state"
	if first.State.Finished() {
		kind = "end"
	}
	if err := write(w, event{kind, first, ""}); err != nil || kind == "end" {
		return
	}
	for {
		s.mu.Lock()
		fresh, changed := slices.Clone(e.events[seen:]), s.changed
		s.mu.Unlock()
		seen += len(fresh)
		for _, v := range fresh {
			if err := write(w, v); err != nil || v.kind == "end" {
				return
			}
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func write(w http.ResponseWriter, e event) error {
	data, err := json.Marshal(viewOf(e.job, e.preview))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.kind, data)
	return errors.Join(err, http.NewResponseController(w).Flush())
}

func sendImage(w http.ResponseWriter, o jobs.Object, data []byte) {
	w.Header().Set("Content-Type", o.Type)
	w.Header().Set("ETag", strconv.Quote(o.SHA256))
	_, _ = io.Copy(w, bytes.NewReader(data)) // a client that went away is no failure of the test
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // as above
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(status), status, detail, code}) // as above
}
