package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

// eventTimeout is how long a client may take to accept an event.
const eventTimeout = 15 * time.Second

// eventView is a job as an event tells it.
type eventView struct {
	jobView
	Preview string `json:"preview,omitempty"` // data: URL
}

// events is GET /v1/jobs/{id}/events: server-sent events until the job has ended.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	if s.draining() {
		return errDraining()
	}
	release, ok := s.streams.take(1)
	if !ok {
		return errBusy("streams of events")
	}
	defer release()
	job, err := s.find(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // lets the queue forget the watcher
	changes, err := s.o.Queue.Watch(ctx, job.ID)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx passes events on at once
	if r.Method == http.MethodHead {
		return nil
	}
	unhurried(w, eventTimeout)
	out := &eventWriter{w: w, control: http.NewResponseController(w)}
	if out.send([]byte("retry: 2000\n\n")) != nil {
		return nil
	}
	s.pump(ctx, out, changes)
	return nil
}

// pump passes changes on until the last, or until the client has gone.
func (s *Server) pump(ctx context.Context, out *eventWriter, changes <-chan jobs.Event) {
	heartbeat := time.NewTicker(s.o.Heartbeat)
	defer heartbeat.Stop()
	last := jobs.State("")
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-s.drained:
			return // the client connects again, to the next server
		case <-heartbeat.C:
			err = out.send([]byte(": still here\n\n"))
		case e, ok := <-changes:
			if !ok {
				return
			}
			err = out.send(encodeEvent(e, last))
			last = e.Job.State
			if last.Finished() {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// encodeEvent writes a change as a server-sent event.
func encodeEvent(e jobs.Event, last jobs.State) []byte {
	kind := "state"
	switch {
	case e.Job.State.Finished():
		kind = "end"
	case e.Job.State == last && e.Job.Progress != nil:
		kind = "step"
	}
	view := eventView{jobView: newJobView(e.Job)}
	if len(e.Preview) > 0 {
		view.Preview = "data:" + imageType(e.PreviewType) + ";base64," + base64.StdEncoding.EncodeToString(e.Preview)
	}
	var b bytes.Buffer
	b.WriteString("event: " + kind + "\ndata: ")
	b.Write(mustJSON(view)) // JSON has no line breaks
	b.WriteString("\n\n")
	return b.Bytes()
}

// eventWriter sends events at once, each with a deadline of its own.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (e *eventWriter) send(p []byte) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(eventTimeout))
	if _, err := e.w.Write(p); err != nil {
		return err
	}
	return e.control.Flush()
}
