package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/worker"
)

// Codes of problems. Those of faults of an image or of settings are package
// worker's.
const (
	codeBadRequest       = "bad-request"
	codeKeyMissing       = "key-missing"
	codeKeyUnknown       = "key-unknown"
	codeHost             = "host-not-allowed"
	codeOrigin           = "origin-not-allowed"
	codeNotFound         = "not-found"
	codeJobNotFound      = "job-not-found"
	codeResultUnknown    = "result-unknown"
	codeMethod           = "method-not-allowed"
	codeBodySlow         = "body-too-slow"
	codeNotFinished      = "job-not-finished"
	codeFinished         = "job-finished"
	codeCancelled        = "job-cancelled"
	codeGone             = "job-gone"
	codeBodyTooLarge     = "body-too-large"
	codeRange            = "range-invalid"
	codeMediaType        = "media-type-unsupported"
	codeImageMissing     = "image-missing"
	codeIdempotency      = "idempotency-key-invalid"
	codeIdempotencyReuse = "idempotency-key-reused"
	codeRate             = "rate-limited"
	codeFull             = "queue-full"
	codeBusy             = "busy"
	codeDraining         = "shutting-down"
	codeNotReady         = "not-ready"
	codeSlow             = "still-waiting"
	codeFailed           = "failed"
	codeInternal         = "internal"
)

// statusClientGone is what logs and metrics say of a request whose client hung up.
const statusClientGone = 499

// problem is a failure as clients see it (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code"`
	// Job is the one that it is about.
	Job string `json:"job,omitempty"`

	retryAfter time.Duration
	header     http.Header
}

// Error returns the detail.
func (p *problem) Error() string { return p.Detail }

// failf makes a problem.
func failf(status int, code, format string, args ...any) *problem {
	title := http.StatusText(status)
	return &problem{Type: "urn:sr3:problem:" + code, Title: title, Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// retry says when another try makes sense.
func (p *problem) retry(after time.Duration) *problem {
	p.retryAfter = max(after, time.Second)
	return p
}

// with adds a header.
func (p *problem) with(name, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	for _, name := range []string{"ETag", "Last-Modified", "Content-Disposition", "Content-Length", "Content-Encoding"} {
		h.Del(name)
	}
	for name, values := range p.header {
		h[name] = values
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// problemOf finds what to tell a client of an error. What nobody foresaw is an
// internal error, and its text stays in the log.
func (s *Server) problemOf(r *http.Request, err error) *problem {
	var p *problem
	var fault *jobs.Fault
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &fault):
		return problemOfFault(fault)
	case errors.As(err, &tooLarge):
		return failf(http.StatusRequestEntityTooLarge, codeBodyTooLarge, "the body is longer than %d bytes", tooLarge.Limit).with("Connection", "close")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failf(http.StatusRequestTimeout, codeBodySlow, "the body came too slowly").with("Connection", "close")
	case errors.Is(err, jobs.ErrGone):
		return failf(http.StatusGone, codeGone, "the job was deleted or has expired")
	case errors.Is(err, jobs.ErrNotFound):
		return noSuchJob()
	case errors.Is(err, jobs.ErrFull):
		return failf(http.StatusServiceUnavailable, codeFull, "the queue is full; try again later").retry(s.untilRoom(r.Context()))
	case errors.Is(err, jobs.ErrKeyReused):
		return failf(http.StatusUnprocessableEntity, codeIdempotencyReuse, "this Idempotency-Key was used for another image or other settings; use a new one")
	case errors.Is(err, jobs.ErrClosed):
		return errDraining()
	case r.Context().Err() != nil:
		return failf(statusClientGone, codeBadRequest, "the client went away")
	case errors.Is(err, context.DeadlineExceeded):
		return failf(http.StatusServiceUnavailable, codeNotReady, "the queue does not answer; try again later").retry(5 * time.Second)
	}
	s.log.Error("request failed", "method", r.Method, "route", r.Pattern, "error", err)
	return failf(http.StatusInternalServerError, codeInternal, "something went wrong; the server's log has the reason")
}

// problemOfFault says it of an image or settings.
func problemOfFault(f *jobs.Fault) *problem {
	status := http.StatusUnprocessableEntity
	switch f.Code {
	case worker.FaultUnknownFormat:
		status = http.StatusUnsupportedMediaType
	case worker.FaultImageTooLarge:
		status = http.StatusRequestEntityTooLarge
	case worker.FaultModelBroken:
		status = http.StatusInternalServerError
	}
	return failf(status, f.Code, "%s", f.Detail)
}

func noSuchJob() *problem { return failf(http.StatusNotFound, codeJobNotFound, "there is no such job") }

// writeJSON sends a value with a status.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
	return nil
}
