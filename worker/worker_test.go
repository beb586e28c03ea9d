package worker

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
	"github.com/sr3-go/sr3/upscale"
)

// folder holds two small models, "tiny" with other weights for another seed.
func folder(t testing.TB, seed uint64) *Models {
	t.Helper()
	t.Setenv("SR3_MODELS", t.TempDir())
	dir := t.TempDir()
	save(t, dir, "tiny", seed)
	return NewModels(dir)
}

func save(t testing.TB, dir, name string, seed uint64) {
	t.Helper()
	saveNetwork(t, dir, name, seed, 6)
}

// saveNetwork writes a model; of 3 channels it sees no image beside the noise.
func saveNetwork(t testing.TB, dir, name string, seed uint64, channels int) {
	t.Helper()
	cfg := unet.Config{
		Family: unet.FamilyLean, InChannels: channels, OutChannels: 3, Channels: 16, Multipliers: []int{1}, Blocks: 1,
		ImageSize: 32, Groups: 4, Fold: 4, FiLM: true, NoMiddleAttention: true, EmbeddingScale: 5000,
	}
	m, err := model.Untrained(name, cfg, 4, seed, 0.02)
	if err != nil {
		t.Fatal(err)
	}
	m.Config.Inference.Steps = 3
	if err := m.Save(filepath.Join(dir, name+".safetensors"), checkpoint.F32); err != nil {
		t.Fatal(err)
	}
}

// picture is a PNG with some content.
func picture(t testing.TB, w, h int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, color.NRGBA{uint8(x * 255 / w), uint8(y * 255 / h), uint8((x ^ y) * 9), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fakeTask keeps what a Doer does with it.
type fakeTask struct {
	job     jobs.Job
	input   []byte
	steps   []jobs.Progress
	preview []byte
	cancel  context.CancelFunc // at the first step, if not nil
	names   []string
	results map[string][]byte
	objects map[string]jobs.Object
}

func newTask(s jobs.Settings, input []byte) *fakeTask {
	return &fakeTask{job: jobs.Job{Settings: s, Input: jobs.Object{Name: "a.png"}}, input: input, results: map[string][]byte{}, objects: map[string]jobs.Object{}}
}

func (t *fakeTask) Job() jobs.Job                         { return t.job }
func (t *fakeTask) Input(context.Context) ([]byte, error) { return t.input, nil }

func (t *fakeTask) Progress(p jobs.Progress, preview func() ([]byte, string)) {
	t.steps = append(t.steps, p)
	t.preview, _ = preview()
	if t.cancel != nil {
		t.cancel()
	}
}

func (t *fakeTask) Put(_ context.Context, o jobs.Object, data []byte) error {
	t.names = append(t.names, o.Name)
	t.results[o.Name], t.objects[o.Name] = data, o
	return nil
}

// TestPlainResult compares a job's result with that of the facade.
func TestPlainResult(t *testing.T) {
	m := folder(t, 1)
	input := picture(t, 21, 14)
	task := newTask(jobs.Settings{Model: "tiny", Seed: 5, Steps: 4}, input)
	if err := New(m, Limits{}, 1).Do(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	up, err := m.Open("tiny")
	if err != nil {
		t.Fatal(err)
	}
	img, err := imageio.Decode(input, "a.png", imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := up.Upscale(t.Context(), img, sr3.Options{Seed: 5, Steps: 4})
	if err != nil {
		t.Fatal(err)
	}
	got, err := imageio.Decode(task.results[jobs.ResultImage], "result", imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.RGB8(), want.RGB8()) {
		t.Error("the result is not what Upscale makes")
	}
	if o := task.objects[jobs.ResultImage]; o.Width != 84 || o.Height != 56 || o.Type != "image/png" {
		t.Errorf("the result is described as %+v", o)
	}
	checkSteps(t, task.steps, 4)
	if p, err := imageio.Decode(task.preview, "preview", imageio.Limits{}); err != nil || p.Width != 84 {
		t.Errorf("the preview is %v, %v", p, err)
	}
}

// checkSteps wants one report a step, with a share that grows to 1.
func checkSteps(t *testing.T, steps []jobs.Progress, n int) {
	t.Helper()
	share := 0.0
	for _, p := range steps {
		if p.Share <= share || p.Share > 1 {
			t.Errorf("the share went from %v to %v", share, p.Share)
		}
		share = p.Share
	}
	if len(steps) != n || share != 1 || steps[n-1].Gamma != 1 {
		t.Errorf("%d reports, the last %+v; want %d, the last with gamma and share 1", len(steps), steps[len(steps)-1], n)
	}
}

// TestSamples wants all draws under their names, each the plain result of its seed.
func TestSamples(t *testing.T) {
	m, input := folder(t, 1), picture(t, 16, 16)
	d := New(m, Limits{}, 2)
	task := newTask(jobs.Settings{Model: "tiny", Seed: 7, Samples: 3, Format: "webp"}, input)
	if err := d.Do(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if want := []string{"image", "draw-1", "draw-2", "mean", "deviation"}; !slices.Equal(task.names, want) {
		t.Fatalf("results %v, want %v", task.names, want)
	}
	checkSteps(t, task.steps, 9)
	alone := newTask(jobs.Settings{Model: "tiny", Seed: 8, Format: "webp"}, input)
	if err := d.Do(t.Context(), alone); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(alone.results["image"], task.results["draw-1"]) {
		t.Error("draw 1 of seed 7 is not the result of seed 8")
	}
	if task.objects["image"].Type != "image/webp" || task.objects["deviation"].Type != "image/png" {
		t.Errorf("types %v", task.objects)
	}
}

// TestCascade: names joined by commas enlarge one after the other, as on the command line.
func TestCascade(t *testing.T) {
	m, input := folder(t, 1), picture(t, 5, 4)
	save(t, m.dir, "other", 2)
	task := newTask(jobs.Settings{Model: "tiny, other", Seed: 3}, input)
	if err := New(m, Limits{}, 1).Do(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if o := task.objects["image"]; o.Width != 80 || o.Height != 64 {
		t.Errorf("a result of %dx%d", o.Width, o.Height)
	}
	checkSteps(t, task.steps, 6)
	up, err := sr3.Open(filepath.Join(m.dir, "tiny.safetensors") + "," + filepath.Join(m.dir, "other.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := imageio.Decode(input, "a.png", imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := up.Upscale(t.Context(), img, sr3.Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if _, err := imageio.Encode(&want, made, imageio.Options{Format: "png"}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.Bytes(), task.results["image"]) {
		t.Error("other bytes than from the same files on the command line")
	}
	if len(m.open) != 2 {
		t.Errorf("%d models are open", len(m.open))
	}
}

// TestUnconditional: a model that makes images from noise enlarges none; it is not offered.
func TestUnconditional(t *testing.T) {
	m := folder(t, 1)
	saveNetwork(t, m.dir, "noise", 1, 3)
	for _, info := range m.List() {
		if info.Name == "noise" {
			t.Errorf("listed as %+v", info)
		}
	}
	if _, err := m.Info("noise"); !errors.Is(err, upscale.ErrNotEnlarging) {
		t.Errorf("described with %v", err)
	}
}

// TestFaults: what cannot be done is told before it is accepted, with a code, and
// again by the worker.
func TestFaults(t *testing.T) {
	m := folder(t, 1)
	if err := os.WriteFile(filepath.Join(m.dir, "broken.safetensors"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	saveNetwork(t, m.dir, "noise", 1, 3)
	good := picture(t, 16, 16)
	limits := Limits{MaxInputPixels: 1000, MaxOutputPixels: 10_000, MaxSteps: 50, MaxSamples: 4}
	half, two := 0.5, 2.0
	for _, c := range []struct {
		name  string
		s     jobs.Settings
		input []byte
		code  string
	}{
		{"good", jobs.Settings{Eta: &half}, good, ""},
		{"no image", jobs.Settings{}, []byte("hello"), FaultUnknownFormat},
		{"empty", jobs.Settings{}, nil, FaultUnknownFormat},
		{"too many pixels", jobs.Settings{}, picture(t, 40, 40), FaultImageTooLarge},
		{"result too large", jobs.Settings{Scale: 8}, good, FaultResultTooLarge},
		{"result too large by passes", jobs.Settings{Scale: 6.2}, good, ""},
		{"reduced", jobs.Settings{Width: 8}, good, FaultSettings},
		{"scale and width", jobs.Settings{Scale: 2, Width: 64}, good, FaultSettings},
		{"steps", jobs.Settings{Steps: 51}, good, FaultSettings},
		{"one sample", jobs.Settings{Samples: 1}, good, FaultSettings},
		{"samples", jobs.Settings{Samples: 5}, good, FaultSettings},
		{"sampler", jobs.Settings{Sampler: "magic"}, good, FaultSettings},
		{"schedule", jobs.Settings{Schedule: "magic"}, good, FaultSettings},
		{"eta", jobs.Settings{Eta: &two}, good, FaultSettings},
		{"temperature", jobs.Settings{Temperature: -1}, good, FaultSettings},
		{"seed", jobs.Settings{Seed: 1 << 53}, good, FaultSettings},
		{"format", jobs.Settings{Format: "gif"}, good, FaultSettings},
		{"quality", jobs.Settings{Quality: 101}, good, FaultSettings},
		{"model", jobs.Settings{Model: "none"}, good, FaultModelUnknown},
		{"model by path", jobs.Settings{Model: filepath.Join(m.dir, "tiny.safetensors")}, good, FaultModelUnknown},
		{"model by a way up", jobs.Settings{Model: "../" + filepath.Base(m.dir) + "/tiny"}, good, FaultModelUnknown},
		{"model from noise", jobs.Settings{Model: "noise"}, good, FaultSettings},
		{"no second stage", jobs.Settings{Model: "tiny,"}, good, FaultModelUnknown},
		{"unknown second stage", jobs.Settings{Model: "tiny,none"}, good, FaultModelUnknown},
		{"broken second stage", jobs.Settings{Model: "tiny,broken"}, good, FaultModelBroken},
		{"cascade file", jobs.Settings{Model: "stages.toml"}, good, FaultModelUnknown},
		{"cascade too large", jobs.Settings{Model: "tiny,tiny"}, good, FaultResultTooLarge},
		{"broken model", jobs.Settings{Model: "broken"}, good, FaultModelBroken},
	} {
		if c.s.Model == "" {
			c.s.Model = "tiny"
		}
		_, _, fault := Check(m, c.s, c.input, "a.png", limits)
		if code := codeOf(fault); code != c.code {
			t.Errorf("%s: fault %q (%v), want %q", c.name, code, fault, c.code)
		}
		if c.code == "" {
			continue
		}
		if strings.Contains(fault.Detail, m.dir) && c.name != "model by path" {
			t.Errorf("%s: the detail tells a path: %s", c.name, fault.Detail)
		}
		if err := New(m, limits, 1).Do(t.Context(), newTask(c.s, c.input)); codeOf(asFault(err)) != c.code {
			t.Errorf("%s: the worker says %v", c.name, err)
		}
	}
}

func codeOf(f *jobs.Fault) string {
	if f == nil {
		return ""
	}
	return f.Code
}

func asFault(err error) *jobs.Fault {
	var f *jobs.Fault
	errors.As(err, &f)
	return f
}

// TestForeignModels: the error tells a damaged model from a file of another program, and the folder of the working
// directory is no place of faults.
func TestForeignModels(t *testing.T) {
	m := folder(t, 1)
	data, err := os.ReadFile(filepath.Join(m.dir, "tiny.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	later := bytes.Replace(data, []byte(`\"format_version\":1`), []byte(`\"format_version\":7`), 1)
	for name, c := range map[string]struct{ data, want string }{
		"later": {string(later), "its file is of a newer version of sr3"},
		"cut":   {string(data[:len(data)-9]), "its file is damaged"}, "theirs": {"\x02\x00\x00\x00\x00\x00\x00\x00{}", "its file is not an SR3 model"},
	} {
		if err := os.WriteFile(filepath.Join(m.dir, name+".safetensors"), []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Info(name); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	here := t.TempDir()
	if err := os.Rename(m.dir, filepath.Join(here, "models")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)
	t.Setenv("SR3_MODELS", "")
	t.Setenv("HOME", here)
	t.Setenv("XDG_CONFIG_HOME", here)
	if got, want := NewModels("").Names(), []string{"cut", "later", "photo-x4", "tiny"}; !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
}

// TestTruncated: a header alone is accepted, and fails when the pixels are read.
func TestTruncated(t *testing.T) {
	m, data := folder(t, 1), picture(t, 30, 30)
	err := New(m, Limits{}, 1).Do(t.Context(), newTask(jobs.Settings{Model: "tiny"}, data[:len(data)/2]))
	if codeOf(asFault(err)) != FaultDamaged {
		t.Errorf("half an image gives %v", err)
	}
}

// TestCancel: a job that is called off ends with its context's error, which is no fault.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	task := newTask(jobs.Settings{Model: "tiny", Steps: 30}, picture(t, 16, 16))
	task.cancel = cancel
	err := New(folder(t, 1), Limits{}, 1).Do(ctx, task)
	if !errors.Is(err, context.Canceled) || asFault(err) != nil || len(task.steps) > 2 {
		t.Errorf("%v after %d steps", err, len(task.steps))
	}
}

// TestModelsFollowTheirFiles: a file that is replaced is read again, and models that
// were pushed out by others can be used again.
func TestModelsFollowTheirFiles(t *testing.T) {
	m := folder(t, 1)
	first, err := m.Info("tiny")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Open("tiny"); err != nil || again != m.open[len(m.open)-1].up || len(m.open) != 1 {
		t.Errorf("opened twice: %v", err)
	}
	save(t, m.dir, "tiny", 2)
	second, err := m.Info("tiny")
	if err != nil || second.Digest == first.Digest {
		t.Errorf("the new file is not read: %v", err)
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		save(t, m.dir, name, 3)
		if _, err := m.Open(name); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.open) != keptModels || m.Bytes() == 0 {
		t.Errorf("%d models are open, %d bytes", len(m.open), m.Bytes())
	}
	names := []string{"a", "b", "c", "d", "e", "photo-x4", "tiny"}
	if got := m.Names(); !slices.Equal(got, names) {
		t.Errorf("names %v, want %v", got, names)
	}
	var listed []string
	for _, info := range m.List() {
		listed = append(listed, info.Name)
		if info.Default != (info.Name == model.DefaultName) || info.Scale != 4 || info.Steps == 0 {
			t.Errorf("described as %+v", info)
		}
	}
	if !slices.Equal(listed, names) {
		t.Errorf("listed %v", listed)
	}
}

// TestTogether: several jobs of several models at a time give what they give alone.
func TestTogether(t *testing.T) {
	m, input := folder(t, 1), picture(t, 16, 12)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		save(t, m.dir, name, uint64(name[0]))
	}
	d := New(m, Limits{}, 1)
	run := func(name string) []byte {
		task := newTask(jobs.Settings{Model: name}, input)
		if err := d.Do(t.Context(), task); err != nil {
			t.Error(err)
		}
		return task.results["image"]
	}
	want := map[string][]byte{}
	for _, name := range m.Names() {
		want[name] = run(name)
	}
	var all sync.WaitGroup
	for _, name := range append(m.Names(), m.Names()...) {
		all.Go(func() {
			if got := run(name); !bytes.Equal(got, want[name]) {
				t.Errorf("%s gives something else beside others", name)
			}
		})
	}
	all.Wait()
}

func TestBaseName(t *testing.T) {
	for name, want := range map[string]string{
		"a.png": "a.png", "../../etc/passwd": "passwd", `C:\Users\me\b.jpg`: "b.jpg", "": "image", "..": "image", "/": "image",
		"x\x00\n.png": "x.png", "\u202egnp.exe": "gnp.exe", "ä ö.png": "ä ö.png", "\xff.png": ".png",
	} {
		if got := BaseName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		got := BaseName(rapid.String().Draw(rt, "name"))
		if got == "" || len(got) > maxNameBytes || strings.ContainsAny(got, "/\\\x00\n") || got == ".." {
			rt.Errorf("becomes %q", got)
		}
	})
}
