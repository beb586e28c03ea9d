package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sr3-go/sr3/jobs"
)

// How many jobs a list has.
const defaultLimit, maxLimit = 50, 200

// states are all states of jobs.
var states = []jobs.State{jobs.Available, jobs.Scheduled, jobs.Running, jobs.Retryable, jobs.Completed, jobs.Cancelled, jobs.Discarded}

// jobView is a job as it is sent.
type jobView struct {
	jobs.Job
	Links links `json:"links"`
}

// links are where more of a job is found.
type links struct {
	Self   string `json:"self"`
	Events string `json:"events"`
	Input  string `json:"input"`
	Result string `json:"result"`
	Cancel string `json:"cancel,omitempty"` // while it can be called off
}

func jobPath(id string) string { return "/v1/jobs/" + id }

func newJobView(j jobs.Job) jobView {
	self := jobPath(j.ID)
	v := jobView{j, links{Self: self, Events: self + "/events", Input: self + "/input", Result: self + "/result"}}
	if !j.State.Finished() {
		v.Links.Cancel = self + "/cancel"
	}
	return v
}

// jobID is what a job's ID looks like. Nothing else is looked for.
var jobID = regexp.MustCompile(`^[0-9a-z]{26}$`)

// find returns the job that a request names, if it was made with the same key. Of
// others' jobs nothing is told, not even that they exist.
func (s *Server) find(r *http.Request) (jobs.Job, error) {
	id := r.PathValue("id")
	if !jobID.MatchString(id) {
		return jobs.Job{}, noSuchJob()
	}
	return s.own(r.Context(), ownerOf(r), id)
}

func (s *Server) own(ctx context.Context, owner, id string) (jobs.Job, error) {
	job, err := s.o.Queue.Get(ctx, id)
	if err != nil && !errors.Is(err, jobs.ErrGone) {
		return jobs.Job{}, err
	}
	if job.Owner != owner {
		return jobs.Job{}, noSuchJob()
	}
	return job, err
}

// job is GET /v1/jobs/{id}.
func (s *Server) job(w http.ResponseWriter, r *http.Request) error {
	job, err := s.find(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newJobView(job))
}

// list is GET /v1/jobs.
func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	filter, err := readFilter(r)
	if err != nil {
		return err
	}
	limit := filter.Limit
	filter.Limit++ // one more tells whether there are more
	found, err := s.o.Queue.List(r.Context(), filter)
	if err != nil {
		return err
	}
	answer := struct {
		Jobs []jobView `json:"jobs"`
		Next string    `json:"next,omitempty"`
	}{Jobs: []jobView{}}
	for _, j := range found[:min(limit, len(found))] {
		answer.Jobs = append(answer.Jobs, newJobView(j))
	}
	if len(found) > limit {
		answer.Next = found[limit-1].ID
	}
	return writeJSON(w, http.StatusOK, answer)
}

// readFilter reads what jobs are asked for.
func readFilter(r *http.Request) (jobs.Filter, error) {
	f := jobs.Filter{Owner: ownerOf(r), Limit: defaultLimit}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return f, failf(http.StatusBadRequest, codeBadRequest, "the query cannot be read")
	}
	if text := query.Get("limit"); text != "" {
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > maxLimit {
			return f, failf(http.StatusBadRequest, codeBadRequest, "limit %.20q: want 1 to %d", text, maxLimit)
		}
	}
	if f.Before = query.Get("before"); f.Before != "" && !jobID.MatchString(f.Before) {
		return f, failf(http.StatusBadRequest, codeBadRequest, "before %.40q: want the ID of a job", f.Before)
	}
	for _, text := range query["state"] {
		for name := range strings.SplitSeq(text, ",") {
			state := jobs.State(name)
			if !slices.Contains(states, state) {
				return f, failf(http.StatusBadRequest, codeBadRequest, "state %.40q: want some of %v", name, states)
			}
			if !slices.Contains(f.States, state) {
				f.States = append(f.States, state)
			}
		}
	}
	return f, nil
}

// cancel is POST /v1/jobs/{id}/cancel.
func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	job, err := s.find(r)
	if err != nil {
		return err
	}
	job, err = s.o.Queue.Cancel(r.Context(), job.ID)
	if errors.Is(err, jobs.ErrFinished) {
		p := failf(http.StatusConflict, codeFinished, "the job is %s already", job.State)
		p.Job = r.PathValue("id")
		return p
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newJobView(job))
}

// remove is DELETE /v1/jobs/{id}.
func (s *Server) remove(w http.ResponseWriter, r *http.Request) error {
	job, err := s.find(r)
	if err != nil {
		return err
	}
	if err := s.o.Queue.Delete(r.Context(), job.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// mustJSON encodes a job view, which always can be.
func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("server: encode a job: " + err.Error())
	}
	return data
}
