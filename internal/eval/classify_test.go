package eval

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/metric"
)

// byBrightness is a classifier of 26 classes: the class of an image is a tenth of
// its mean.
func byBrightness(asked *int) func(metric.Image, int) ([]float32, error) {
	return func(img metric.Image, _ int) ([]float32, error) {
		*asked++
		if img.Width != 200 || img.Height != 200 {
			return nil, fmt.Errorf("%dx%d pixels", img.Width, img.Height)
		}
		mean := 0.0
		for _, v := range img.Pix {
			mean += float64(v) / float64(len(img.Pix))
		}
		scores := make([]float32, 26)
		for k := range scores {
			scores[k] = -float32(math.Abs(mean/10 - float64(k) - 0.5))
		}
		return scores, nil
	}
}

// classified is an evaluation of images of about 105, in class 10, with one that
// is too small, one without a label and one that is broken.
func classified(t *testing.T, out string, asked *int, methods ...baseline.Method) Config {
	t.Helper()
	dir := t.TempDir()
	labels := map[string]int{"small": 1, "broken": 2, "elsewhere": 3}
	for k := range 4 {
		name := string(rune('a' + k))
		save(t, filepath.Join(dir, name+".png"), picture8(240, 232, uint64(k)))
		labels[name] = 10
	}
	save(t, filepath.Join(dir, "small.png"), picture8(240, 200, 9))
	save(t, filepath.Join(dir, "unknown.png"), picture8(240, 240, 9))
	if err := os.WriteFile(filepath.Join(dir, "broken.png"), []byte("no image"), 0o666); err != nil {
		t.Fatal(err)
	}
	c := config(dir, out, methods...)
	c.Measures = c.Measures[:1]
	c.Classification = &Classification{Network: "brightness", Side: 200, Weights: Weights{Path: "b.onnx", Digest: "cd"}, Classify: byBrightness(asked), Labels: labels}
	return c
}

func TestClassification(t *testing.T) {
	out, asked, calls := t.TempDir(), 0, 0
	slow := fake{name: "brighter", shift: 12, costly: true, calls: &calls}
	c := classified(t, out, &asked, fake{name: "true"}, slow, fake{name: "far", shift: 90, lacks: "b"}, never{fake{name: "never"}})
	r := mustRun(t, c)
	want := []struct{ top1, top5 float64 }{{0, 0}, {0, 0}, {1, 0}, {1, 1}, {math.NaN(), math.NaN()}}
	for i, w := range want {
		row := r.Accuracy.Rows[i]
		if math.IsNaN(w.top1) {
			if row.Top1.Mean.Valid() {
				t.Errorf("%s has %v", row.Method, row.Top1)
			}
			continue
		}
		if float64(row.Top1.Mean) != w.top1 || float64(row.Top5.Mean) != w.top5 || row.Top1.N != 3 {
			t.Errorf("%s: errors %v and %v of %d images, want %v and %v of 3", row.Method, row.Top1.Mean, row.Top5.Mean, row.Top1.N, w.top1, w.top5)
		}
	}
	if rows := r.Accuracy.Rows; rows[0].Top1.Best || !rows[1].Top1.Best || rows[2].Top1.Best || !rows[2].Top5.Best {
		t.Errorf("the best are marked wrongly: %+v", rows)
	}
	var problems []string
	for _, p := range r.Problems {
		problems = append(problems, p.String())
	}
	text := strings.Join(problems, "\n")
	for _, want := range []string{"small: classification: accuracy: crop: an image of 240x200", "unknown: classification: the labels have no class for it",
		"b with far: classification: ", "all images with never: classification: "} {
		if strings.Count(text, want) != 1 {
			t.Errorf("problems do not say %q once:\n%s", want, text)
		}
	}
	if strings.Contains(text, "broken: classification") {
		t.Errorf("a broken image is listed twice:\n%s", text)
	}
	if n := calls; n != 6+4 || asked != 4+4+4+3 {
		t.Errorf("%d results were made, want 6 of the table and 4 to be classified; %d were classified, want 15", n, asked)
	}
	if text := r.Markdown(); !strings.Contains(text, "| brighter | 1.000 [1.000, 1.000] | **0.000** [0.000, 0.000] |") || !strings.Contains(text, "Weights b.onnx, SHA-256 cd") {
		t.Errorf("the table:\n%s", text)
	}
	c.Own = true
	r = mustRun(t, c)
	if far := r.Accuracy.Rows[3].Top1; r.Accuracy.Rows[0].Top1.N != 4 || far.N != 3 || !far.Fewer || !strings.Contains(r.Markdown(), "Up to 4 of 7 images") {
		t.Errorf("each on its own images: %+v", r.Accuracy.Rows)
	}
	if page, err := os.ReadFile(filepath.Join(out, PageFile)); err != nil || !bytes.Contains(page, []byte("Errors of the classifier brightness")) {
		t.Errorf("the page does not have the table (%v)", err)
	}
}

// never has images of the table alone, as a folder of another program's results.
type never struct{ fake }

func (n never) Version(in baseline.Input) (string, error) {
	if in.Width == 256 {
		return "", baseline.ErrNoResult
	}
	return n.fake.Version(in)
}

// Killed anywhere, it goes on to the same report. Another classifier, and other
// labels, take the results that are there.
func TestClassificationGoesOn(t *testing.T) {
	out, asked, calls := t.TempDir(), 0, 0
	c := classified(t, out, &asked, fake{name: "slow", shift: 3, costly: true, calls: &calls})
	mustRun(t, c)
	want := reportOf(t, out)
	results, err := os.ReadFile(filepath.Join(out, ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{len(results) * 2 / 3, len(results) - 1, len(results)} {
		if err := os.WriteFile(filepath.Join(out, ResultsFile), results[:length], 0o666); err != nil {
			t.Fatal(err)
		}
		asked = 0
		mustRun(t, c)
		for name, text := range reportOf(t, out) {
			if text != want[name] {
				t.Errorf("killed after %d bytes: %s differs", length, name)
			}
		}
		lines := bytes.Count(results[:bytes.LastIndexByte(results[:length], '\n')+1], []byte(`"top1_error":0,`)) +
			bytes.Count(results[:bytes.LastIndexByte(results[:length], '\n')+1], []byte(`"top1_error":1,`))
		if asked != 8-lines {
			t.Errorf("killed after %d bytes: %d images were classified, want %d", length, asked, 8-lines)
		}
	}
	before := calls
	asked = 0
	c.Classification.Weights.Digest = "ef"
	c.Classification.Labels["a"] = 25
	r := mustRun(t, c)
	if calls != before || asked != 8 || r.Accuracy.Rows[0].Top1.Mean != 0.25 {
		t.Errorf("another classifier: %d results were made again, %d images classified, error %v", calls-before, asked, r.Accuracy.Rows[0].Top1.Mean)
	}
	c.Classification.Labels["a"] = 26
	r = mustRun(t, c)
	if text := fmt.Sprint(r.Problems); !strings.Contains(text, "class 26 of 26") {
		t.Errorf("a class that the network lacks: %s", text)
	}
}

func TestLabels(t *testing.T) {
	for text, want := range map[string]string{
		`[{"file":"x/a.png","class_index":3,"top5":[1]},{"file":"b","class_index":0}]`: "map[b:0 x/a:3]",
		`{"x/a.jpeg": 3, "b.c.png": 0}`:     "map[b.c:0 x/a:3]",
		`[]`:                                "no labels",
		`{"a": null}`:                       "no class of 0 or more",
		`[{"file":"a.png"}]`:                "no class of 0 or more",
		`[{"class_index":1}]`:               "has no name",
		`{"a": -1}`:                         "no class of 0 or more",
		`{"a.png": 1, "a.jpg": 2}`:          "has the classes",
		`{"a": "cat"}`:                      "want {",
		`nothing`:                           "want {",
		`[{"file":"a","class_index":1.5}]`:  "want {",
		`{"a.png": 1, "a.jpg": 1, "b": 12}`: "map[a:1 b:12]",
	} {
		path := filepath.Join(t.TempDir(), "labels.json")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		labels, err := ReadLabels(path)
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v does not name the file", text, err)
		}
		if got := fmt.Sprint(labels, err); !strings.Contains(got, want) || (err == nil) != strings.HasPrefix(want, "map") {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if _, err := ReadLabels("absent.json"); err == nil || !strings.Contains(err.Error(), "absent.json") {
		t.Errorf("no file: %v", err)
	}
}
