package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/worker"
)

// result is GET /v1/jobs/{id}/result.
func (s *Server) result(w http.ResponseWriter, r *http.Request) error {
	job, err := s.find(r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return failf(http.StatusBadRequest, codeBadRequest, "the query cannot be read")
	}
	name := query.Get("name")
	if name == "" {
		name = jobs.ResultImage
	}
	object, err := resultOf(job, name)
	if err != nil {
		return err
	}
	return s.sendImage(w, r, job, object, resultName(job, object), func(ctx context.Context) ([]byte, error) {
		_, data, err := s.o.Queue.Result(ctx, job.ID, object.Name)
		return data, err
	})
}

// resultOf finds the description of a result, or says why there is none.
func resultOf(job jobs.Job, name string) (jobs.Object, error) {
	p := failf(http.StatusConflict, codeNotFinished, "the job is %s; its result is not there yet", job.State)
	switch job.State {
	case jobs.Completed:
		i := slices.IndexFunc(job.Results, func(o jobs.Object) bool { return o.Name == name })
		if i >= 0 {
			return job.Results[i], nil
		}
		p = failf(http.StatusNotFound, codeResultUnknown, "the job has no result %.40q", name)
	case jobs.Cancelled:
		p = failf(http.StatusConflict, codeCancelled, "the job was called off; it has no result")
	case jobs.Discarded:
		p = failf(http.StatusConflict, codeFailed, "the job failed; it has no result")
		if job.Fault != nil {
			p = failf(http.StatusConflict, job.Fault.Code, "%s", job.Fault.Detail)
		}
	}
	p.Job = job.ID
	return jobs.Object{}, p
}

// input is GET /v1/jobs/{id}/input.
func (s *Server) input(w http.ResponseWriter, r *http.Request) error {
	job, err := s.find(r)
	if err != nil {
		return err
	}
	return s.sendImage(w, r, job, job.Input, job.Input.Name, func(ctx context.Context) ([]byte, error) {
		_, data, err := s.o.Queue.Input(ctx, job.ID)
		return data, err
	})
}

// sendImage sends a stored image: whole, in ranges, or not at all to those who have
// it already.
func (s *Server) sendImage(w http.ResponseWriter, r *http.Request, job jobs.Job, o jobs.Object, name string, load func(context.Context) ([]byte, error)) error {
	h := w.Header()
	etag := `"` + o.SHA256 + `"`
	h.Set("ETag", etag)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Content-Disposition", disposition(name))
	h.Set("X-SR3-Job", job.ID)
	h.Set("X-SR3-Seed", strconv.FormatUint(job.Settings.Seed, 10))
	if sameTag(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	release, ok := s.memory.take(o.Bytes)
	if !ok {
		return errBusy("downloads")
	}
	defer release()
	data, err := load(r.Context())
	if err != nil {
		return fmt.Errorf("read %s of job %s: %w", o.Name, job.ID, err)
	}
	h.Set("Content-Type", imageType(o.Type))
	http.ServeContent(&rangeGuard{ResponseWriter: newPacedWriter(w)}, r, "", modified(job), bytes.NewReader(data))
	return nil
}

// rangeGuard makes a problem of what http.ServeContent says of a range outside the
// image.
type rangeGuard struct {
	http.ResponseWriter
	refused bool
}

func (w *rangeGuard) WriteHeader(status int) {
	if w.refused = status == http.StatusRequestedRangeNotSatisfiable; w.refused {
		failf(status, codeRange, "the range is outside the image").write(w.ResponseWriter)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *rangeGuard) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// imageType is a media type that no browser takes for a page.
func imageType(t string) string {
	if t != "image/svg+xml" && strings.HasPrefix(t, "image/") {
		return t
	}
	return "application/octet-stream"
}

// modified is when a job's images last changed.
func modified(job jobs.Job) time.Time {
	if job.Finished != nil {
		return *job.Finished
	}
	return job.Created
}

// sameTag tells whether If-None-Match has a tag.
func sameTag(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// resultName is what a result is called: photo_sr3_x4.png of photo.jpg.
func resultName(job jobs.Job, o jobs.Object) string {
	in := job.Input.Name
	name := strings.TrimSuffix(in, path.Ext(in)) + "_sr3"
	if job.Input.Width > 0 {
		name += "_x" + strconv.FormatFloat(float64(o.Width*100/job.Input.Width)/100, 'f', -1, 64)
	}
	if o.Name != jobs.ResultImage {
		name += "." + o.Name
	}
	extension := strings.TrimPrefix(o.Type, "image/")
	if extension == "jpeg" {
		extension = "jpg"
	}
	return worker.BaseName(name + "." + extension)
}

// disposition is a Content-Disposition (RFC 6266) that gives an image a name: in
// ASCII for old clients, and in full (RFC 8187).
func disposition(name string) string {
	ascii := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || strings.ContainsRune(`"\%;`, c) {
			return '_'
		}
		return c
	}, name)
	value := `inline; filename="` + ascii + `"`
	if ascii == name {
		return value
	}
	return value + "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
