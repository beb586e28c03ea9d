package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

// upscale is POST /v1/upscale: a job whose result is waited for.
func (s *Server) upscale(w http.ResponseWriter, r *http.Request) error {
	async, wait := preference(r, s.o.Wait)
	if async {
		job, created, err := s.accept(w, r)
		if err != nil {
			return err
		}
		w.Header().Set("Preference-Applied", "respond-async")
		return s.answerJob(w, job, created)
	}
	release, ok := s.waiting.take(1)
	if !ok {
		return errBusy("requests that wait").retry(s.untilRoom(r.Context()))
	}
	defer release()
	job, created, err := s.accept(w, r)
	if err != nil {
		return err
	}
	unhurried(w, wait+writeTimeout)
	job, err = s.await(r, job, wait, !created || r.Header.Get("Idempotency-Key") != "")
	if errors.Is(err, errStillWaiting) {
		unhurried(w, writeTimeout)
		return s.answerJob(w, job, true)
	}
	if err != nil {
		return err
	}
	return s.sendFinished(w, r, job)
}

// sendFinished answers with what a job that has ended came to.
func (s *Server) sendFinished(w http.ResponseWriter, r *http.Request, job jobs.Job) error {
	w.Header().Set("Link", "<"+jobPath(job.ID)+`>; rel="related"`)
	object, err := resultOf(job, jobs.ResultImage)
	if err != nil {
		return problemOfEnd(job)
	}
	for _, name := range []string{"If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"} {
		r.Header.Del(name) // conditions and ranges are for reading, not for making
	}
	return s.sendImage(w, r, job, object, resultName(job, object), func(ctx context.Context) ([]byte, error) {
		_, data, err := s.o.Queue.Result(ctx, job.ID, object.Name)
		return data, err
	})
}

// problemOfEnd says to one who waited why there is no result.
func problemOfEnd(job jobs.Job) *problem {
	p := failf(http.StatusInternalServerError, codeFailed, "the job failed")
	switch {
	case job.State == jobs.Cancelled:
		p = failf(http.StatusConflict, codeCancelled, "the job was called off")
	case job.Fault != nil && job.Fault.Code == codeFailed:
		p.Detail = "the job failed: " + job.Fault.Detail
	case job.Fault != nil:
		p = problemOfFault(job.Fault)
	}
	p.Job = job.ID
	return p
}

var errStillWaiting = errors.New("the job has not ended yet")

// await waits until a job has ended. A client that hangs up takes its job with it,
// unless it can ask for it again (keep).
func (s *Server) await(r *http.Request, job jobs.Job, wait time.Duration, keep bool) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	changes, err := s.o.Queue.Watch(ctx, job.ID)
	if errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
		return job, errStillWaiting
	}
	if err != nil {
		return job, err
	}
	for {
		select {
		case e, ok := <-changes:
			if ok {
				job = e.Job
			}
			if job.State.Finished() {
				return job, nil
			}
			if ok {
				continue
			}
			// The channel was closed before the end: because of ctx, or because the job
			// has been deleted.
			if ctx.Err() == nil {
				return s.own(ctx, job.Owner, job.ID)
			}
		case <-ctx.Done():
		case <-s.drained:
			return job, errStillWaiting
		}
		if r.Context().Err() == nil {
			return job, errStillWaiting
		}
		if !keep {
			s.abandon(job.ID)
		}
		return job, r.Context().Err()
	}
}

// abandon calls off a job that nobody waits for any more.
func (s *Server) abandon(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := s.o.Queue.Cancel(ctx, id); err != nil && !errors.Is(err, jobs.ErrFinished) {
		s.log.Warn("cannot call off the job of a client that went away", "job", id, "error", err)
	}
}

// preference reads the Prefer header (RFC 7240): whether the client would rather not
// wait, and how long it would.
func preference(r *http.Request, most time.Duration) (async bool, wait time.Duration) {
	wait = most
	for _, header := range r.Header.Values("Prefer") {
		for item := range strings.SplitSeq(header, ",") {
			item, _, _ = strings.Cut(item, ";")
			name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				async = true
			case "wait":
				if n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`)); err == nil && n >= 0 && n < int(most/time.Second) {
					wait = time.Duration(n) * time.Second
				}
			}
		}
	}
	return async, wait
}
