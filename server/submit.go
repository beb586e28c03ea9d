package server

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/worker"
)

// Bounds of a form beside its image.
const (
	maxFields      = 32
	maxFieldBytes  = 16 << 10
	formOverhead   = 64 << 10
	maxIdempotency = 255
)

// submission is a job as a client asks for it.
type submission struct {
	settings jobs.Settings
	image    []byte
	name     string
	key      string // Idempotency-Key
	release  func() // gives the memory of the image back
}

// submit is POST /v1/jobs.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) error {
	job, created, err := s.accept(w, r)
	if err != nil {
		return err
	}
	return s.answerJob(w, job, created)
}

// answerJob answers with a job that goes on by itself.
func (s *Server) answerJob(w http.ResponseWriter, job jobs.Job, created bool) error {
	w.Header().Set("Location", jobPath(job.ID))
	status := http.StatusAccepted
	if !created {
		status = http.StatusOK
	}
	return writeJSON(w, status, newJobView(job))
}

// accept reads a submission and puts it into the queue.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) (jobs.Job, bool, error) {
	sub, err := s.readSubmission(w, r)
	if err != nil {
		return jobs.Job{}, false, err
	}
	defer sub.release()
	return s.enqueue(r, sub)
}

// enqueue checks a submission and puts it into the queue.
func (s *Server) enqueue(r *http.Request, sub *submission) (jobs.Job, bool, error) {
	settings, object, fault := worker.Check(s.o.Models, sub.settings, sub.image, sub.name, s.o.Limits)
	if fault != nil {
		return jobs.Job{}, false, fault
	}
	if at := settings.StartAfter; at != nil && time.Until(*at) > s.o.Keep {
		return jobs.Job{}, false, settingsFault("start_after %s: jobs are kept for %v, want a time before that", at.Format(time.RFC3339), s.o.Keep)
	}
	job, created, err := s.o.Queue.Submit(r.Context(), jobs.Request{
		Owner: ownerOf(r), IdempotencyKey: sub.key, Settings: settings, Input: object, Data: sub.image,
	})
	if err != nil {
		return job, false, err
	}
	if created {
		s.metrics.accepted(job)
	}
	return job, created, nil
}

// admit refuses a submission for reasons that do not need its body.
func (s *Server) admit(r *http.Request, n int) error {
	if s.draining() {
		return errDraining()
	}
	if wait, ok := s.rates.take(ownerOf(r), n); !ok {
		return errRate(s.o.Rate, wait)
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return failf(http.StatusUnsupportedMediaType, codeMediaType, "bodies are not taken compressed (Content-Encoding)")
	}
	return nil
}

func errRate(perSecond float64, wait time.Duration) *problem {
	return failf(http.StatusTooManyRequests, codeRate, "more than %v submissions a second", perSecond).retry(wait)
}

// reserve sets memory aside for a body of at most limit bytes, of which copies copies
// are held.
func (s *Server) reserve(r *http.Request, limit, copies int64) (release func(), err error) {
	size := r.ContentLength
	if size > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	if size < 0 {
		size = limit
	}
	release, ok := s.memory.take(copies*size + formOverhead)
	if !ok {
		return nil, errBusy("uploads")
	}
	return release, nil
}

// readSubmission reads the body: a form, or an image alone with settings in the query.
func (s *Server) readSubmission(w http.ResponseWriter, r *http.Request) (*submission, error) {
	if err := s.admit(r, 1); err != nil {
		return nil, err
	}
	sub := &submission{}
	var err error
	if sub.key, err = idempotencyKey(r); err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, failf(http.StatusBadRequest, codeBadRequest, "the query cannot be read: %v", err)
	}
	if err := sub.fromQuery(query); err != nil {
		return nil, err
	}
	kind, params, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	limit := s.o.Limits.MaxInputBytes
	if kind == formType {
		limit += formOverhead
	}
	if sub.release, err = s.reserve(r, limit, 2); err != nil {
		return nil, err
	}
	s.pace(w, r, limit)
	if kind == formType {
		err = sub.readForm(multipart.NewReader(r.Body, params["boundary"]), s.o.Limits.MaxInputBytes)
	} else {
		sub.image, err = readSized(r.Body, r.ContentLength)
	}
	if err == nil && len(sub.image) == 0 {
		err = failf(http.StatusUnprocessableEntity, codeImageMissing, "there is no image: send it as the body, or as the field \"image\" of a form")
	}
	if err != nil {
		sub.release()
		return nil, err
	}
	unhurried(w, writeTimeout)
	return sub, nil
}

// readSized reads a body into memory of the right size.
func readSized(body io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	if size > 0 {
		b.Grow(int(size) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(body); err != nil {
		return nil, bodyError(err)
	}
	return b.Bytes(), nil
}

// bodyError says that a body could not be read, unless the reason is known better.
func bodyError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return failf(http.StatusBadRequest, codeBadRequest, "the body was cut off")
	}
	return fmt.Errorf("read the body: %w", err)
}

const formType = "multipart/form-data"

// mediaType finds out whether the body is a form or an image.
func mediaType(r *http.Request) (kind string, params map[string]string, err error) {
	header := r.Header.Get("Content-Type")
	kind, params, err = mime.ParseMediaType(cmp.Or(header, "application/octet-stream"))
	switch {
	case err != nil:
	case kind == formType && params["boundary"] != "":
		return kind, params, nil
	case strings.HasPrefix(kind, "image/"), kind == "application/octet-stream":
		return kind, params, nil
	}
	return "", nil, failf(http.StatusUnsupportedMediaType, codeMediaType,
		"the body is %.60q; send an image (Content-Type: image/png, or application/octet-stream) or a form (multipart/form-data)", header)
}

// readForm reads the parts of a form: "image", "settings" as JSON, and settings by
// their names.
func (sub *submission) readForm(form *multipart.Reader, limit int64) error {
	single := url.Values{}
	for fields := 0; ; fields++ {
		part, err := form.NextRawPart()
		if err == io.EOF {
			return sub.fromQuery(single)
		}
		if err != nil {
			return formError(err)
		}
		if fields == maxFields {
			return failf(http.StatusUnprocessableEntity, worker.FaultSettings, "the form has more than %d fields", maxFields)
		}
		if err := sub.readPart(part, single, limit); err != nil {
			return err
		}
	}
}

// readPart reads one part of a form.
func (sub *submission) readPart(part *multipart.Part, single url.Values, limit int64) error {
	switch name := part.FormName(); name {
	case "image":
		if sub.image != nil {
			return failf(http.StatusUnprocessableEntity, codeImageMissing, "the form has several images; make a job for each")
		}
		data, err := readPartBytes(part, limit)
		sub.image, sub.name = data, cmp.Or(part.FileName(), sub.name)
		return err
	case "settings":
		data, err := readPartBytes(part, maxFieldBytes)
		if err != nil {
			return err
		}
		return sub.fromJSON(data)
	default:
		data, err := readPartBytes(part, maxFieldBytes)
		single.Add(name, string(data))
		return err
	}
}

// readPartBytes reads a part into memory.
func readPartBytes(part io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(part, limit+1))
	if err != nil {
		return nil, formError(err)
	}
	if int64(len(data)) > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	return data, nil
}

// formError says that a form could not be read, unless the reason is known better.
func formError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || isTimeout(err) {
		return fmt.Errorf("read the form: %w", err)
	}
	return failf(http.StatusBadRequest, codeBadRequest, "the form is damaged or was cut off")
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// fromJSON reads settings; unknown ones are mistakes.
func (sub *submission) fromJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&sub.settings); err != nil {
		return settingsFault("settings: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return settingsFault("settings: there is something after the JSON object")
	}
	return nil
}

func settingsFault(format string, args ...any) *problem {
	return failf(http.StatusUnprocessableEntity, worker.FaultSettings, format, args...)
}

// idempotencyKey reads the header of that name.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	printable := !strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' })
	if len(values) > 1 || key == "" || len(key) > maxIdempotency || !printable {
		return "", failf(http.StatusBadRequest, codeIdempotency, "Idempotency-Key: want one, of 1 to %d printable ASCII characters", maxIdempotency)
	}
	return key, nil
}

// seedOf draws a seed. A submission that comes again with its Idempotency-Key draws
// the same one: it would be another job otherwise.
func seedOf(key string) uint64 {
	if key == "" {
		return worker.RandomSeed()
	}
	hash := sha256.Sum256([]byte("sr3 seed " + key))
	return uint64(binary.LittleEndian.Uint32(hash[:]))
}
