package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/metric"
)

// metricImages makes folders of grey 48x40 images; a level is what all samples of
// an image are.
func metricImages(t *testing.T, folders map[string]map[string]uint8) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for folder, levels := range folders {
		for name, level := range levels {
			img := image.NewNRGBA(image.Rect(0, 0, 48, 40))
			for i := range img.Pix {
				img.Pix[i] = level
				if i%4 == 3 {
					img.Pix[i] = 255
				}
			}
			img.SetNRGBA(3, 3, color.NRGBA{level, level, level, 255})
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, folder, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// metricsCommand runs "sr3 metrics" and returns what it said.
func metricsCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), append([]string{"metrics"}, args...), nil, &out, &errs)
	return code, out.String(), errs.String()
}

// jsonLines decodes one object a line.
func jsonLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(text) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		lines = append(lines, v)
	}
	return lines
}

// psnrOf is the PSNR of images that differ by d everywhere.
func psnrOf(d float64) float64 { return 20 * math.Log10(255/d) }

func TestMetricsOfFiles(t *testing.T) {
	dir := metricImages(t, map[string]map[string]uint8{"hr": {"a.png": 100}, "sr": {"a.png": 110}})
	hr, sr := filepath.Join(dir, "hr", "a.png"), filepath.Join(dir, "sr", "a.png")
	code, out, _ := metricsCommand(t, "--hr", hr, "--sr", sr, "--json")
	lines := jsonLines(t, out)
	if code != ExitDone || len(lines) != 1 || len(lines[0]) != 3 {
		t.Fatalf("code %d, %s", code, out)
	}
	if v := lines[0]["psnr"].(float64); math.Abs(v-psnrOf(10)) > 1e-9 {
		t.Errorf("PSNR %g, want %g", v, psnrOf(10))
	}
	if v, ok := lines[0]["consistency"]; v != nil || !ok {
		t.Errorf("consistency %v without --lr, want null", v)
	}
	_, out, _ = metricsCommand(t, "--hr", hr, "--sr", hr, "--lr", hr, "--json")
	if want := `{"psnr":"inf","ssim":1,"consistency":0}` + "\n"; out != want {
		t.Errorf("an image against itself: %s, want %s", out, want)
	}
}

func TestMetricsOfFolders(t *testing.T) {
	dir := metricImages(t, map[string]map[string]uint8{
		"hr": {"b.png": 100, "a.png": 50, "deep/c.png": 10, ".hidden.png": 1},
		"sr": {"a.PNG": 54, "b.png": 108, "deep/c.png": 12},
	})
	code, out, errs := metricsCommand(t, "--hr", filepath.Join(dir, "hr"), "--sr", filepath.Join(dir, "sr"), "--json")
	lines := jsonLines(t, out)
	if code != ExitDone || len(lines) != 4 || errs != "" {
		t.Fatalf("code %d, %s %s", code, out, errs)
	}
	sum := 0.0
	for i, want := range []struct {
		name       string
		difference float64
	}{{"a", 4}, {"b", 8}, {"deep/c", 2}} {
		v := lines[i]["psnr"].(float64)
		if lines[i]["event"] != "image" || lines[i]["name"] != want.name || math.Abs(v-psnrOf(want.difference)) > 1e-9 {
			t.Errorf("line %d is %v, want %v", i, lines[i], want)
		}
		sum += v
	}
	mean := lines[3]
	if mean["event"] != "mean" || mean["images"] != 3.0 || mean["failed"] != 0.0 || math.Abs(mean["psnr"].(float64)-sum/3) > 1e-9 {
		t.Errorf("the mean is %v, want a PSNR of %g", mean, sum/3)
	}
	code, out, _ = metricsCommand(t, "--hr", filepath.Join(dir, "hr"), "--sr", filepath.Join(dir, "sr"))
	if code != ExitDone || !strings.Contains(out, fmt.Sprintf("mean of 3    %7.2f", sum/3)) {
		t.Errorf("code %d, table\n%s", code, out)
	}
}

// What cannot be compared is named, and does not stop the others.
func TestMetricsOfUnevenFolders(t *testing.T) {
	dir := metricImages(t, map[string]map[string]uint8{
		"hr":    {"a.png": 50, "b.png": 60, "d.png": 70},
		"sr":    {"a.png": 54, "c.png": 60, "d.png": 71},
		"twice": {"a.png": 1, "a.bmp": 1},
		"other": {"z.png": 1},
		"empty": {"sub/.hidden.png": 1},
	})
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("sr/d.png"), []byte("no image"), 0o666); err != nil {
		t.Fatal(err)
	}
	code, out, errs := metricsCommand(t, "--hr", in("hr"), "--sr", in("sr"), "--json")
	lines := jsonLines(t, out)
	if code != ExitPartial || len(lines) != 5 || lines[4]["images"] != 1.0 || lines[4]["failed"] != 3.0 {
		t.Errorf("code %d, %s", code, out)
	}
	for _, want := range []string{"b: no image of this name in " + in("sr"), "c: no image of this name in " + in("hr"), in("sr/d.png"), "3 of 4 images failed"} {
		if !strings.Contains(errs, want) {
			t.Errorf("messages do not say %q:\n%s", want, errs)
		}
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{ExitFailure, "have one name", []string{"--hr", in("hr"), "--sr", in("twice")}},
		{ExitFailure, "no images in", []string{"--hr", in("hr"), "--sr", in("empty")}},
		{ExitFailure, "none of 4 images", []string{"--hr", in("hr"), "--sr", in("other")}},
		{ExitFailure, "missing", []string{"--hr", in("hr"), "--sr", in("missing")}},
		{ExitFailure, "missing.onnx", []string{"--hr", in("hr"), "--sr", in("sr"), "--features", in("missing.onnx")}},
		{ExitFailure, "not an ONNX model", []string{"--hr", in("hr"), "--sr", in("sr"), "--features", in("sr/a.png")}},
		{ExitUsage, "some are folders", []string{"--hr", in("hr"), "--sr", in("sr/a.png")}},
		{ExitUsage, "some are folders", []string{"--hr", in("hr"), "--sr", in("sr"), "--lr", in("hr/a.png")}},
		{ExitUsage, "are needed", []string{"--hr", in("hr")}},
	} {
		if code, _, errs := metricsCommand(t, c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: code %d, %q; want code %d and %q", c.args, code, errs, c.code, c.want)
		}
	}
}

// The feature distance reaches single results, lines and the mean. The distance
// itself is tested where it is computed.
func TestMetricsWithFeatures(t *testing.T) {
	dir := metricImages(t, map[string]map[string]uint8{"hr": {"a.png": 50, "b.png": 60}, "sr": {"a.png": 54, "b.png": 66}})
	m := &measurer{options: metric.Options{Threads: 1}, features: func(hr, sr metric.Image, _ int) (float64, error) {
		return float64(sr.Pix[0]) - float64(hr.Pix[0]), nil
	}}
	f := &metricsFlags{hr: filepath.Join(dir, "hr"), sr: filepath.Join(dir, "sr"), features: "given", json: true}
	var out bytes.Buffer
	if err := m.folders(t.Context(), &streams{out: &out, err: &out}, f); err != nil {
		t.Fatal(err)
	}
	for i, line := range jsonLines(t, out.String()) {
		if want := []float64{4, 6, 5}[i]; line["feature_distance"] != want {
			t.Errorf("line %d is %v, want a feature distance of %g", i, line, want)
		}
	}
	out.Reset()
	r, err := m.measure(filepath.Join(f.hr, "a.png"), filepath.Join(f.sr, "a.png"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.print(&streams{out: &out}, false); err != nil || !strings.Contains(out.String(), "SqueezeNet 1.1 feature distance  4.0000") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// SR3_SQUEEZENET names an ONNX file of SqueezeNet 1.1.
func TestMetricsWithRealFeatures(t *testing.T) {
	path := os.Getenv("SR3_SQUEEZENET")
	if path == "" {
		t.Skip("set SR3_SQUEEZENET to an ONNX file of SqueezeNet 1.1 to test with its weights")
	}
	hr, sr := "../../resample/testdata/coffee_hr.png", "../../resample/testdata/coffee_hr.png"
	code, out, errs := metricsCommand(t, "--hr", hr, "--sr", sr, "--features", path, "--json")
	if want := `{"psnr":"inf","ssim":1,"consistency":null,"feature_distance":0,"ms_ssim":1}` + "\n"; code != ExitDone || out != want {
		t.Errorf("code %d, %s %s, want %s", code, out, errs, want)
	}
}
