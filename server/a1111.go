package server

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/worker"
)

// maxBatch is how many images one request of the A1111 dialect may bring.
const maxBatch = 64

// a1111Request is what clients of the A1111 web UI send, as far as it means
// something here; other fields are ignored. Numbers are floats, for clients send
// 512.0 as well.
type a1111Request struct {
	ResizeMode float64 `json:"resize_mode"` // 0: by a factor, 1: to a size
	Resize     float64 `json:"upscaling_resize"`
	Width      float64 `json:"upscaling_resize_w"`
	Height     float64 `json:"upscaling_resize_h"`
	Crop       bool    `json:"upscaling_crop"`
	Upscaler1  string  `json:"upscaler_1"`
	Upscaler2  string  `json:"upscaler_2"`
	Visibility float64 `json:"extras_upscaler_2_visibility"`
	Image      string  `json:"image"` // base64, with or without "data:image/png;base64,"
	ImageList  batch   `json:"imageList"`
}

// batch are the images of one request.
type batch []struct {
	Data string `json:"data"`
	Name string `json:"name"`
}

// UnmarshalJSON reads images up to one more than are taken, which is enough to refuse
// them. A list of empty ones takes many times the memory of its text.
func (b *batch) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	switch first, err := d.Token(); {
	case err != nil || first == nil: // null
		return err
	case first != json.Delim('['):
		return &json.UnmarshalTypeError{Field: "imageList"}
	}
	*b = make(batch, 0, maxBatch+1)
	for d.More() && len(*b) <= maxBatch {
		*b = (*b)[:len(*b)+1]
		if err := d.Decode(&(*b)[len(*b)-1]); err != nil {
			return err
		}
	}
	return nil
}

// a1111Options is GET /sdapi/v1/options, by which clients find out whether there is
// a server.
func (s *Server) a1111Options(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]any{
		"samples_format": "png", "sd_model_checkpoint": "", "upscaler_for_img2img": model.DefaultName, "sr3_default_model": model.DefaultName,
	})
}

// a1111Upscaler is an upscaler as that dialect lists it.
type a1111Upscaler struct {
	Name      string  `json:"name"`
	ModelName *string `json:"model_name"`
	ModelPath *string `json:"model_path"`
	ModelURL  *string `json:"model_url"`
	Scale     float64 `json:"scale"`
}

// a1111Upscalers is GET /sdapi/v1/upscalers.
func (s *Server) a1111Upscalers(w http.ResponseWriter, _ *http.Request) error {
	list := []a1111Upscaler{}
	for _, m := range s.catalog.all() {
		if m.Error == "" {
			list = append(list, a1111Upscaler{Name: m.Name, ModelName: &m.Name, Scale: float64(m.Scale)})
		}
	}
	return writeJSON(w, http.StatusOK, list)
}

// a1111Single is POST /sdapi/v1/extra-single-image.
func (s *Server) a1111Single(w http.ResponseWriter, r *http.Request) error {
	return s.a1111(w, r, func(q *a1111Request) (names, images []string, err error) {
		return []string{"image"}, []string{q.Image}, nil
	}, `"image":`, "}\n")
}

// a1111Batch is POST /sdapi/v1/extra-batch-images.
func (s *Server) a1111Batch(w http.ResponseWriter, r *http.Request) error {
	return s.a1111(w, r, func(q *a1111Request) (names, images []string, err error) {
		if n := len(q.ImageList); n == 0 || n > maxBatch {
			return nil, nil, settingsFault("imageList has %d images: want 1 to %d", n, maxBatch)
		}
		for _, f := range q.ImageList {
			names, images = append(names, f.Name), append(images, f.Data)
		}
		return names, images, nil
	}, `"images":[`, "]}\n")
}

// a1111 answers a request of the dialect: it reads, submits all images, waits for
// them, and writes them one after the other between head and tail.
func (s *Server) a1111(w http.ResponseWriter, r *http.Request, pick func(*a1111Request) (names, images []string, err error), head, tail string) error {
	waiting, ok := s.waiting.take(1)
	if !ok {
		return errBusy("requests that wait").retry(s.untilRoom(r.Context()))
	}
	defer waiting()
	q, release, err := s.readA1111(w, r)
	if err != nil {
		return err
	}
	defer release()
	names, images, err := pick(q)
	if err != nil {
		return err
	}
	// One is taken already. What is more than fits at once counts as what fits.
	if wait, ok := s.rates.take(ownerOf(r), min(len(images), max(s.o.Burst, 1))-1); !ok {
		return errRate(s.o.Rate, wait)
	}
	name, warning := s.a1111Model(q)
	unhurried(w, s.o.WaitA1111+writeTimeout)
	batch := &a1111Batched{s: s, r: r}
	defer batch.abandon()
	for i := range images {
		if err := batch.submit(q, name, names[i], images[i]); err != nil {
			return err
		}
	}
	q, images = nil, nil // nothing of the body is held while the jobs are done
	release()
	if err := batch.wait(); err != nil {
		return err
	}
	if warning != "" {
		w.Header().Set("Warning", "299 sr3 "+strconv.QuoteToASCII(warning))
	}
	info := "<p>" + html.EscapeString(strings.Join(slices.DeleteFunc([]string{"Upscaler: " + name, warning}, func(t string) bool { return t == "" }), "; ")) + "</p>"
	return batch.write(w, fmt.Sprintf(`{"html_info":%s,%s`, mustJSON(info), head), tail)
}

// readA1111 reads the JSON body.
func (s *Server) readA1111(w http.ResponseWriter, r *http.Request) (*a1111Request, func(), error) {
	if err := s.admit(r, 1); err != nil {
		return nil, nil, err
	}
	if kind, _, err := mime.ParseMediaType(cmp.Or(r.Header.Get("Content-Type"), "application/json")); err != nil || kind != "application/json" {
		return nil, nil, failf(http.StatusUnsupportedMediaType, codeMediaType, "this address takes JSON (Content-Type: application/json)")
	}
	limit := s.o.Limits.MaxInputBytes/3*4 + formOverhead
	release, err := s.reserve(r, limit, 4) // the JSON, its strings, the images; buffers grow by doubling
	if err != nil {
		return nil, nil, err
	}
	s.pace(w, r, limit)
	q := &a1111Request{Resize: 2, Width: 512, Height: 512, Crop: true}
	if err := json.NewDecoder(r.Body).Decode(q); err != nil {
		release()
		return nil, nil, jsonError(err)
	}
	return q, release, nil
}

// jsonError says what is wrong with JSON, unless the reason is that it could not be
// read.
func jsonError(err error) error {
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge) || isTimeout(err):
		return fmt.Errorf("read the body: %w", err)
	case errors.As(err, &wrongType):
		return settingsFault("%.60s has the wrong type", wrongType.Field)
	}
	return failf(http.StatusBadRequest, codeBadRequest, "the body is not JSON, or was cut off")
}

// a1111Model chooses the model. Clients have fixed lists of names from elsewhere;
// those mean the default model here, and a warning says so.
func (s *Server) a1111Model(q *a1111Request) (name, warning string) {
	name = q.Upscaler1
	if !slices.Contains(s.o.Models.Names(), name) {
		name = model.DefaultName
		warning = fmt.Sprintf("no upscaler %.40q here; used %s", q.Upscaler1, name)
	}
	if q.Visibility > 0 && q.Upscaler2 != "" && q.Upscaler2 != "None" {
		warning = strings.TrimPrefix(warning+"; the second upscaler is not used", "; ")
	}
	return name, warning
}

// a1111Batched are the jobs of one request.
type a1111Batched struct {
	s     *Server
	r     *http.Request
	jobs  []jobs.Job
	shape []geometry
	done  int // jobs that have been waited for
}

// submit makes a job of one image.
func (b *a1111Batched) submit(q *a1111Request, model, name, text string) error {
	data, err := decodeBase64(text)
	if err != nil {
		return err
	}
	limits := b.s.o.Limits
	sub := &submission{settings: jobs.Settings{Model: model}, image: data, name: name}
	g := geometry{}
	// A file that cannot be read is refused when the job is submitted.
	if info, err := imageio.Inspect(data, "image", imageio.Limits{MaxPixels: limits.MaxInputPixels, MaxBytes: limits.MaxInputBytes}); err == nil {
		if g, err = q.geometry(info.Width, info.Height, limits); err != nil {
			return err
		}
		sub.settings.Width, sub.settings.Height = g.madeW, g.madeH
	}
	job, _, err := b.s.enqueue(b.r, sub)
	if err != nil {
		return err
	}
	b.jobs, b.shape = append(b.jobs, job), append(b.shape, g)
	return nil
}

// wait waits for all jobs, in turn, and for all of them no longer than for one.
func (b *a1111Batched) wait() error {
	end := time.Now().Add(b.s.o.WaitA1111)
	for i, job := range b.jobs {
		job, err := b.s.await(b.r, job, time.Until(end), true)
		if errors.Is(err, errStillWaiting) && b.s.draining() {
			return errDraining()
		}
		if errors.Is(err, errStillWaiting) {
			return failf(http.StatusServiceUnavailable, codeSlow, "the image is not ready after %v; try again later", b.s.o.WaitA1111).retry(b.s.untilRoom(b.r.Context()))
		}
		if err != nil {
			return err
		}
		b.done = i + 1
		if _, err := resultOf(job, jobs.ResultImage); err != nil {
			return problemOfEnd(job)
		}
		b.jobs[i] = job
	}
	return nil
}

// write sends the results between head and tail. One at a time is in memory.
func (b *a1111Batched) write(w http.ResponseWriter, head, tail string) error {
	var most int64
	for i := range b.jobs {
		object, _ := resultOf(b.jobs[i], jobs.ResultImage)
		most = max(most, object.Bytes+b.shape[i].bytes())
	}
	release, ok := b.s.memory.take(most)
	if !ok {
		return errBusy("downloads")
	}
	defer release()
	out := newPacedWriter(w)
	for i := range b.jobs {
		data, err := b.result(i)
		if err != nil {
			return err
		}
		if i == 0 { // until here failures can be told
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			io.WriteString(out, head)
		} else {
			io.WriteString(out, ",")
		}
		if err := writeBase64(out, data); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, tail)
	return err
}

// result is a result at the size that was asked for.
func (b *a1111Batched) result(i int) ([]byte, error) {
	_, data, err := b.s.o.Queue.Result(b.r.Context(), b.jobs[i].ID, jobs.ResultImage)
	if err != nil {
		return nil, fmt.Errorf("read the result of job %s: %w", b.jobs[i].ID, err)
	}
	return b.shape[i].fit(data)
}

func writeBase64(out io.Writer, data []byte) error {
	io.WriteString(out, `"`)
	e := base64.NewEncoder(base64.StdEncoding, out)
	e.Write(data) // errors stay until Close
	if err := e.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(out, `"`)
	return err
}

// abandon calls off what nobody will ask for.
func (b *a1111Batched) abandon() {
	for _, job := range b.jobs[b.done:] {
		b.s.abandon(job.ID)
	}
}

// decodeBase64 reads an image's text. Addresses are not followed: a server must not
// fetch what strangers name.
func decodeBase64(text string) ([]byte, error) {
	if strings.HasPrefix(text, "data:") {
		_, text, _ = strings.Cut(text, ",")
	}
	if text == "" {
		return nil, failf(http.StatusUnprocessableEntity, codeImageMissing, "there is no image")
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		if data, err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return nil, failf(http.StatusUnprocessableEntity, worker.FaultDamaged, "the image is not base64")
		}
	}
	return data, nil
}
