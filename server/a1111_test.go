package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	_ "image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

// chainnerBody is what chaiNNer's node "Upscale" sends.
func chainnerBody(png []byte, change map[string]any) map[string]any {
	body := map[string]any{
		"resize_mode": 0, "show_extras_results": false, "gfpgan_visibility": 0.0, "codeformer_visibility": 0.0, "codeformer_weight": 0.0,
		"upscaling_resize": 4.0, "upscaling_resize_w": 512, "upscaling_resize_h": 512, "upscaling_crop": true,
		"upscaler_1": "R-ESRGAN 4x+", "upscaler_2": "None", "extras_upscaler_2_visibility": 0.0, "upscale_first": false,
		"image": base64.StdEncoding.EncodeToString(png),
	}
	maps.Copy(body, change)
	return body
}

func (a *api) postJSON(path string, v any) *http.Response {
	a.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.call("POST", path, bytes.NewReader(data), "Content-Type", "application/json")
}

// sizeOf decodes an image in base64.
func sizeOf(t *testing.T, text string) image.Point {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img.Bounds().Size()
}

// TestA1111 makes the calls of chaiNNer's node and checks what it asserts of the
// answers: the size, to the pixel.
func TestA1111(t *testing.T) {
	a := newAPI(t)
	a.queue.auto = true
	want(t, a.call("GET", "/sdapi/v1/options", nil), 200, "")
	list := decode[[]map[string]any](t, a.call("GET", "/sdapi/v1/upscalers", nil))
	if len(list) == 0 || list[0]["name"] != "photo-x4" || list[0]["scale"] != 4.0 {
		t.Errorf("upscalers %v", list)
	}
	for name, c := range map[string]struct {
		change map[string]any
		w, h   int
	}{
		"scale by":            {nil, 60, 44},
		"scale by 2.7":        {map[string]any{"upscaling_resize": 2.7}, 40, 29}, // int(15 x 2.7), int(11 x 2.7)
		"scale by half":       {map[string]any{"upscaling_resize": 0.5}, 7, 5},
		"scale to, crop":      {map[string]any{"resize_mode": 1, "upscaling_resize_w": 64, "upscaling_resize_h": 64}, 64, 64},
		"scale to, no crop":   {map[string]any{"resize_mode": 1, "upscaling_resize_w": 64, "upscaling_resize_h": 64, "upscaling_crop": false}, 87, 64},
		"floats":              {map[string]any{"resize_mode": 1, "upscaling_resize_w": 64.0, "upscaling_resize_h": 40.0}, 64, 40},
		"scale to less, crop": {map[string]any{"resize_mode": 1, "upscaling_resize_w": 8, "upscaling_resize_h": 8}, 8, 8},
		"more than one way":   {map[string]any{"resize_mode": 1, "upscaling_resize_w": 16, "upscaling_resize_h": 3}, 16, 3},
		"data URL":            {map[string]any{"image": "data:image/png;base64," + base64.StdEncoding.EncodeToString(testPNG(15, 11))}, 60, 44},
		"unknown fields":      {map[string]any{"whatever": []any{1, nil}}, 60, 44},
		"nulls":               {map[string]any{"upscaler_2": nil, "upscaling_resize": nil}, 30, 22},
	} {
		t.Run(name, func(t *testing.T) {
			res := a.postJSON("/sdapi/v1/extra-single-image", chainnerBody(testPNG(15, 11), c.change))
			want(t, res, 200, "")
			if warning := res.Header.Get("Warning"); warning != `299 sr3 "no upscaler \"R-ESRGAN 4x+\" here; used photo-x4"` {
				t.Errorf("Warning: %s", warning)
			}
			v := decode[struct{ Image, HTMLInfo string }](t, res)
			if got := sizeOf(t, v.Image); got != image.Pt(c.w, c.h) {
				t.Errorf("%v, want %dx%d", got, c.w, c.h)
			}
		})
	}
	res := a.postJSON("/sdapi/v1/extra-single-image", chainnerBody(testPNG(15, 11), map[string]any{"upscaler_1": "photo-x4"}))
	if want(t, res, 200, ""); res.Header.Get("Warning") != "" {
		t.Errorf("Warning: %s", res.Header.Get("Warning"))
	}
	res = a.postJSON("/sdapi/v1/extra-single-image", chainnerBody(testPNG(15, 11), map[string]any{"upscaler_1": "<b>\r\nEvil: 1\x00é", "upscaler_2": "Lanczos", "extras_upscaler_2_visibility": 1}))
	want(t, res, 200, "")
	if body := string(readAll(t, res)); strings.Contains(body, "<b>") || strings.ContainsAny(res.Header.Get("Warning"), "\r\n\x00") || res.Header.Get("Evil") != "" {
		t.Errorf("%.200s, %v", body, res.Header)
	}
	if used := a.memory.inUse(); used != 0 {
		t.Errorf("%d bytes of memory are not given back", used)
	}
}

// TestCropIsTheMiddle checks which pixels a crop keeps.
func TestCropIsTheMiddle(t *testing.T) {
	src := testPNG(10, 6)
	data, err := crop(src, 4, 6)
	if err != nil {
		t.Fatal(err)
	}
	full, _, _ := image.Decode(bytes.NewReader(src))
	part, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for y := range 6 {
		for x := range 4 {
			if full.At(x+3, y) != part.At(x, y) {
				t.Fatalf("pixel %d, %d differs", x, y)
			}
		}
	}
}

func TestA1111Batch(t *testing.T) {
	a := newAPI(t)
	a.queue.auto = true
	file := func(w int) map[string]string {
		return map[string]string{"data": base64.StdEncoding.EncodeToString(testPNG(w, 5)), "name": "../x.png"}
	}
	body := chainnerBody(nil, map[string]any{"imageList": []any{file(5), file(6)}, "upscaling_resize": 2})
	res := a.postJSON("/sdapi/v1/extra-batch-images", body)
	want(t, res, 200, "")
	images := decode[struct{ Images []string }](t, res).Images
	if len(images) != 2 || sizeOf(t, images[0]) != image.Pt(10, 10) || sizeOf(t, images[1]) != image.Pt(12, 10) {
		t.Errorf("%d images", len(images))
	}
	// One that cannot be read calls the others off.
	a.queue.auto = false
	body["imageList"] = []any{file(5), map[string]string{"data": "AAAA"}}
	want(t, a.postJSON("/sdapi/v1/extra-batch-images", body), 415, "image-unknown-format")
	if state := a.queue.state(fakeID(a.queue.made)); state != jobs.Cancelled {
		t.Errorf("the first image's job is %s", state)
	}
	body["imageList"] = []any{}
	want(t, a.postJSON("/sdapi/v1/extra-batch-images", body), 422, "settings-invalid")
	body["imageList"] = make([]map[string]string, 65)
	want(t, a.postJSON("/sdapi/v1/extra-batch-images", body), 422, "settings-invalid")
}

// TestA1111BatchRate: a batch of more images than may be sent at once takes all of them, and is not refused for ever.
func TestA1111BatchRate(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.Rate, o.Burst = 0.1, 3 })
	a.queue.auto = true
	file := map[string]string{"data": base64.StdEncoding.EncodeToString(testPNG(5, 5)), "name": "x.png"}
	body := chainnerBody(nil, map[string]any{"imageList": []any{file, file, file, file, file}, "upscaling_resize": 2})
	want(t, a.postJSON("/sdapi/v1/extra-batch-images", body), 200, "")
	body["imageList"] = []any{file}
	want(t, a.postJSON("/sdapi/v1/extra-batch-images", body), 429, "rate-limited")
}

// TestA1111BatchTime: the images of a batch have one time limit together.
func TestA1111BatchTime(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.WaitA1111 = 300 * time.Millisecond })
	file := map[string]string{"data": base64.StdEncoding.EncodeToString(testPNG(5, 5)), "name": "x.png"}
	body := chainnerBody(nil, map[string]any{"imageList": []any{file, file, file}, "upscaling_resize": 2})
	var done sync.WaitGroup
	done.Go(func() { // each in time for itself, the last too late for the batch
		for n := range 3 {
			time.Sleep(200 * time.Millisecond)
			id := fakeID(n + 1)
			for !a.queue.has(id) {
				time.Sleep(time.Millisecond)
			}
			if !a.queue.state(id).Finished() {
				a.queue.finish(id)
			}
		}
	})
	want(t, a.postJSON("/sdapi/v1/extra-batch-images", body), 503, "still-waiting")
	done.Wait()
}

func TestA1111Errors(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.WaitA1111, o.Limits.MaxInputBytes = 50*time.Millisecond, 100_000 })
	post := func(change map[string]any) *http.Response {
		return a.postJSON("/sdapi/v1/extra-single-image", chainnerBody(testPNG(15, 11), change))
	}
	for name, c := range map[string]struct {
		change map[string]any
		status int
		code   string
	}{
		"no image":      {map[string]any{"image": ""}, 422, "image-missing"},
		"not base64":    {map[string]any{"image": "!!!"}, 422, "image-damaged"},
		"an address":    {map[string]any{"image": "http://169.254.169.254/latest/meta-data"}, 422, "image-damaged"},
		"a file":        {map[string]any{"image": "file:///etc/passwd"}, 422, "image-damaged"},
		"no image file": {map[string]any{"image": "AAAA"}, 415, "image-unknown-format"},
		"mode":          {map[string]any{"resize_mode": 2}, 422, "settings-invalid"},
		"no factor":     {map[string]any{"upscaling_resize": 0}, 422, "settings-invalid"},
		"backwards":     {map[string]any{"upscaling_resize": -2}, 422, "settings-invalid"},
		"huge":          {map[string]any{"upscaling_resize": 1e300}, 422, "result-too-large"},
		"no size":       {map[string]any{"resize_mode": 1, "upscaling_resize_w": 0}, 422, "settings-invalid"},
		"huge size":     {map[string]any{"resize_mode": 1, "upscaling_resize_w": 1e18}, 422, "result-too-large"},
		"wrong type":    {map[string]any{"image": 3}, 422, "settings-invalid"},
		"too long":      {map[string]any{"image": strings.Repeat("A", 400_000)}, 413, "body-too-large"},
		"too slow":      {nil, 503, "still-waiting"},
	} {
		t.Run(name, func(t *testing.T) { want(t, post(c.change), c.status, c.code) })
	}
	if a.queue.made != 1 || a.queue.state(fakeID(1)) != jobs.Cancelled {
		t.Errorf("%d jobs, the first is %s; want one that is called off", a.queue.made, a.queue.state(fakeID(1)))
	}
	want(t, a.call("POST", "/sdapi/v1/extra-single-image", strings.NewReader("{"), "Content-Type", "application/json"), 400, "bad-request")
	want(t, a.call("POST", "/sdapi/v1/extra-single-image", strings.NewReader("{}"), "Content-Type", "text/plain"), 415, "media-type-unsupported")
	if n := a.Server.waiting.inUse() + a.memory.inUse(); n != 0 {
		t.Errorf("%d places or bytes are not given back", n)
	}
	a.o.WaitA1111 = time.Minute
	r := httptest.NewRequest("POST", "/sdapi/v1/extra-single-image", bytes.NewReader(mustJSON(chainnerBody(testPNG(4, 4), nil))))
	r.Header.Set("Content-Type", "application/json")
	_, answer := a.begin(r)
	a.Drain()
	want(t, <-answer, 503, "shutting-down")
}

// TestA1111Memory checks that a list of very many images does not take much more
// memory than its text, and that results count as memory while they are sent.
func TestA1111Memory(t *testing.T) {
	a := newAPI(t)
	a.queue.auto = true
	text := `{"imageList":[` + strings.Repeat("{},", 1<<20) + `{}]}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	want(t, a.call("POST", "/sdapi/v1/extra-batch-images", strings.NewReader(text), "Content-Type", "application/json"), 422, "settings-invalid")
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8*uint64(len(text)) {
		t.Errorf("a body of %d MiB took %d MiB", len(text)>>20, got>>20)
	}
	for name, body := range map[string]string{"no list": `{"imageList":3}`, "no image": `{"imageList":[3]}`, "no data": `{"imageList":[{"data":3}]}`, "null": `{"imageList":null}`} {
		if res := a.call("POST", "/sdapi/v1/extra-batch-images", strings.NewReader(body), "Content-Type", "application/json"); res.StatusCode != 422 {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
	image := map[string]string{"data": base64.StdEncoding.EncodeToString(testPNG(40, 30))}
	r := httptest.NewRequest("POST", "/sdapi/v1/extra-batch-images", bytes.NewReader(mustJSON(map[string]any{"imageList": []any{image, image, image}})))
	r.Header.Set("Content-Type", "application/json")
	r.Host = "localhost"
	var most int64
	w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder(), onWrite: func(time.Time) { most = max(most, a.memory.inUse()) }}
	a.ServeHTTP(w, r)
	if size := int64(len(testPNG(80, 60))); w.Code != 200 || most < size || most > 2*size {
		t.Errorf("status %d; %d bytes of memory are set aside while results of %d bytes each are sent", w.Code, most, size)
	}
	if used := a.memory.inUse(); used != 0 {
		t.Errorf("%d bytes of memory are not given back", used)
	}
}
