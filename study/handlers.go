package study

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"strconv"

	"github.com/sr3-go/sr3/foolrate"
)

// ahead is how many trials a page may load before it needs them, the next included.
const ahead = 3

// known finds the subject of a request and keeps the rate of each in bounds.
func (s *Server) known(do func(http.ResponseWriter, *http.Request, Subject)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		subject, err := s.find(r.Context(), r.PathValue("token"))
		if err != nil {
			s.fail(w, err)
			return
		}
		if !s.rate.allow(subject.ID) {
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusTooManyRequests, "too-many-requests", "Too many requests at once.")
			return
		}
		do(w, r, subject)
	}
}

// problem answers with application/problem+json (RFC 9457).
func problem(w http.ResponseWriter, status int, code, title string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": title, "status": status, "code": code})
}

// fail answers with what an error means to the page.
func (s *Server) fail(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, ErrNoSubject):
		problem(w, http.StatusNotFound, "link-unknown", "This link is not known here.")
	case errors.Is(err, ErrNoConsent):
		problem(w, http.StatusForbidden, "consent-missing", "Please agree to take part first.")
	case errors.Is(err, ErrNotNext):
		problem(w, http.StatusConflict, "not-next", "That is not the next trial.")
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, "too-large", "The request is too large.")
	default:
		s.options.Logger.Error("request failed", "error", err)
		problem(w, http.StatusInternalServerError, "internal", "Something went wrong on the server.")
	}
}

// progress is what a page needs to go on.
type progress struct {
	Next   int         `json:"next"`
	Total  int         `json:"total"`
	Trials []trialView `json:"trials"` // the next ones
}

// trialView is a trial as a page sees it: addresses that say nothing.
type trialView struct {
	Trial  int    `json:"trial"` // -1: practice
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Left   string `json:"left"`
	Right  string `json:"right"`
	Low    string `json:"low,omitempty"`
}

// stateView is the whole state of a page.
type stateView struct {
	progress
	Agreed       bool      `json:"agreed"`
	Question     string    `json:"question"`
	Consent      string    `json:"consent"`
	Contact      string    `json:"contact"`
	DisplayMS    int       `json:"display_ms"`
	TimeoutMS    int       `json:"timeout_ms"`
	EarlyAnswers bool      `json:"early_answers"`
	Zoom         int       `json:"zoom"`
	Practice     trialView `json:"practice"`
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a reader that went away asks again
}

func (s *Server) state(w http.ResponseWriter, _ *http.Request, subject Subject) {
	m := &s.folder.Manifest
	v := stateView{progress: s.progressOf(subject), Agreed: subject.Number >= 0, Question: m.Asked(), Consent: m.Consent, Contact: m.Contact,
		DisplayMS: m.DisplayMS, TimeoutMS: m.TimeoutMS, EarlyAnswers: m.EarlyAnswers, Zoom: m.Zoom}
	v.Practice = trialView{Trial: -1, Width: practiceSide, Height: practiceSide, Left: "/assets/" + practiceCoarse, Right: "/assets/" + practiceSharp}
	if m.Task == foolrate.WithInput {
		v.Practice.Low = "/assets/" + practiceLow
	}
	writeJSON(w, v)
}

// progressOf lists the trials that a page may load.
func (s *Server) progressOf(subject Subject) progress {
	m := &s.folder.Manifest
	p := progress{Next: subject.Next, Total: m.Design().Length(), Trials: []trialView{}}
	if subject.Number < 0 {
		return p
	}
	trials := m.Design().Trials(subject.Number)
	for i := subject.Next; i < min(subject.Next+ahead, len(trials)); i++ {
		image := m.Images[trials[i].Image]
		v := trialView{Trial: i, Width: image.Width, Height: image.Height, Left: s.imageURL(subject, i, "left"), Right: s.imageURL(subject, i, "right")}
		if m.Task == foolrate.WithInput {
			v.Low = s.imageURL(subject, i, "low")
		}
		p.Trials = append(p.Trials, v)
	}
	return p
}

// imageURL is the address of an image: a name that nobody can make who does not know
// the study's key, and that is another one for every subject and trial.
func (s *Server) imageURL(subject Subject, trial int, place string) string {
	return fmt.Sprintf("/s/%s/image/%d/%s", subject.Token, trial, s.imageName(subject, trial, place))
}

func (s *Server) imageName(subject Subject, trial int, place string) string {
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "%s/%d/%s", subject.Token, trial, place)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func (s *Server) image(w http.ResponseWriter, r *http.Request, subject Subject) {
	m := &s.folder.Manifest
	i, err := strconv.Atoi(r.PathValue("trial"))
	if err != nil || subject.Number < 0 || i < subject.Next || i >= min(subject.Next+ahead, m.Design().Length()) {
		problem(w, http.StatusNotFound, "image-unknown", "There is no such image.")
		return
	}
	trial := m.Design().Trials(subject.Number)[i]
	name := r.PathValue("name")
	for place, kind := range filesOf(trial, m.Task) {
		if !hmac.Equal([]byte(name), []byte(s.imageName(subject, i, place))) {
			continue
		}
		if err := s.send(w, trial.Image, kind); err != nil {
			s.fail(w, err)
		}
		return
	}
	problem(w, http.StatusNotFound, "image-unknown", "There is no such image.")
}

// send sends a file of an image from the disk, so that slow readers take no memory.
// Nothing is said of it but the length, which all files of an image have in common.
func (s *Server) send(w http.ResponseWriter, image, kind int) error {
	file, err := os.Open(s.folder.imagePath(image, kind))
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	_, _ = io.CopyN(w, file, info.Size()) // a reader that went away asks again
	return nil
}

// filesOf says which file of a trial's image stands where.
func filesOf(t foolrate.Trial, task foolrate.Task) map[string]int {
	other := fileCatch
	if t.Method != foolrate.Catch {
		other = firstMethod + t.Method
	}
	files := map[string]int{"left": other, "right": fileOriginal}
	if t.OriginalLeft {
		files = map[string]int{"left": fileOriginal, "right": other}
	}
	if task == foolrate.WithInput {
		files["low"] = fileLow
	}
	return files
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request, subject Subject) {
	var body struct {
		Agree bool `json:"agree"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if !body.Agree {
		problem(w, http.StatusUnprocessableEntity, "consent-missing", "Please agree to take part first.")
		return
	}
	agreed, err := s.store.Agree(r.Context(), subject.Token)
	if err != nil {
		s.fail(w, err)
		return
	}
	writeJSON(w, s.progressOf(agreed))
}

// answerBody is what a page sends.
type answerBody struct {
	Trial      *int     `json:"trial"`
	Choice     string   `json:"choice"`
	ResponseMS *float64 `json:"response_ms"`
	ShownMS    *float64 `json:"shown_ms"`
	Views      int      `json:"views"`
}

// maxMilliseconds bounds times: a day.
const maxMilliseconds = 86_400_000

// response checks what was sent.
func (b answerBody) response() (Response, error) {
	switch {
	case b.Trial == nil || b.ResponseMS == nil || b.ShownMS == nil:
		return Response{}, errors.New("trial, choice, response_ms, shown_ms and views are needed")
	case b.Choice != string(foolrate.Left) && b.Choice != string(foolrate.Right) && b.Choice != string(foolrate.TimedOut):
		return Response{}, errors.New("choice must be left, right or none")
	case !duration(*b.ResponseMS) || !duration(*b.ShownMS):
		return Response{}, errors.New("times must be milliseconds from 0 to a day")
	case b.Views < 1 || b.Views > 1_000_000:
		return Response{}, errors.New("views must be 1 or more")
	}
	return Response{Trial: *b.Trial, Choice: foolrate.Choice(b.Choice), Response: *b.ResponseMS, Shown: *b.ShownMS, Views: b.Views}, nil
}

// check finds what no page of this study could have seen.
func (m *Manifest) check(r Response) error {
	switch vanish := m.DisplayMS > 0 && !m.EarlyAnswers; {
	case r.Choice == foolrate.TimedOut && m.TimeoutMS == 0:
		return errors.New("choice none: this study waits for answers")
	case vanish && r.Shown < float64(m.DisplayMS)-twoFrames:
		return fmt.Errorf("shown_ms: pairs are shown for %d ms", m.DisplayMS)
	case vanish && r.Response < r.Shown:
		return errors.New("response_ms: answers are taken when the pair has gone")
	}
	return nil
}

func duration(ms float64) bool { return ms >= 0 && ms <= maxMilliseconds && !math.IsNaN(ms) }

func (s *Server) answer(w http.ResponseWriter, r *http.Request, subject Subject) {
	var body answerBody
	if !s.read(w, r, &body) {
		return
	}
	response, err := body.response()
	if err == nil {
		err = s.folder.Manifest.check(response)
	}
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, "answer-invalid", err.Error())
		return
	}
	now, err := s.store.Answer(r.Context(), subject.Token, response)
	if err != nil {
		s.fail(w, err)
		return
	}
	writeJSON(w, s.progressOf(now))
}

// read decodes a JSON body, or answers why not.
func (s *Server) read(w http.ResponseWriter, r *http.Request, v any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "not-json", "Want application/json.")
		return false
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return true
		}
		err = errors.Join(errors.New("more than one value"), err)
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		s.fail(w, err)
		return false
	}
	problem(w, http.StatusBadRequest, "json-invalid", "The request is not the JSON that is wanted here.")
	return false
}
