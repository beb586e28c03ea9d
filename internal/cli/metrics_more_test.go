package cli

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/distribution"
)

// copyImages makes a folder of images of the repository under other names.
func copyImages(t *testing.T, images map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, from := range images {
		data, err := os.ReadFile(filepath.Join("../../resample/testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// --y and --crop reach what they are for, and nothing else.
func TestMetricsOfLuma(t *testing.T) {
	in := func(name string) string { return filepath.Join("../../resample/testdata", name) }
	hr, err1 := readMetricImage(in("coffee_hr.png"))
	sr, err2 := readMetricImage(in("coffee_bicubic4.png"))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, c := range []struct {
		options metric.Options
		args    []string
	}{
		{metric.Options{}, nil},
		{metric.Options{Luma: true}, []string{"--y"}},
		{metric.Options{Luma: true, Crop: 4}, []string{"--y", "--crop", "4"}},
		{metric.Options{Crop: 2}, []string{"--crop=2"}},
	} {
		args := append([]string{"--hr", in("coffee_hr.png"), "--sr", in("coffee_bicubic4.png"), "--lr", in("coffee_lr4.png")}, c.args...)
		code, out, errs := metricsCommand(t, append(args, "--json")...)
		if code != ExitDone {
			t.Fatalf("code %d: %s", code, errs)
		}
		got := jsonLines(t, out)[0]
		for key, f := range map[string]func(hr, sr metric.Image) (float64, error){"psnr": c.options.PSNR, "ssim": c.options.SSIM, "ms_ssim": c.options.MSSSIM} {
			want, err := f(hr, sr)
			if v, ok := got[key].(float64); err != nil || !ok || math.Abs(v-want) > 1e-12*want {
				t.Errorf("%v: %s is %v, want %v (%v)", c.args, key, got[key], want, err)
			}
		}
		if v := got["consistency"].(float64); math.Abs(v-17.5011814) > 1e-6 {
			t.Errorf("%v: consistency %v", c.args, v)
		}
		var luma, crop any
		if c.options.Luma {
			luma = true
		}
		if c.options.Crop > 0 {
			crop = float64(c.options.Crop)
		}
		if got["y"] != luma || got["crop"] != crop {
			t.Errorf("%v: %s does not say what was compared", c.args, out)
		}
		code, out, _ = metricsCommand(t, args...)
		if label := map[bool]string{true: "MS-SSIM Y", false: "MS-SSIM  "}[c.options.Luma]; code != ExitDone || !strings.Contains(out, label) {
			t.Errorf("%v: no %q in\n%s", c.args, label, out)
		}
	}
	for want, args := range map[string][]string{
		"--crop -1":     {"--crop=-1"},
		"cut 96 pixels": {"--crop=96"},
	} {
		args = append(args, "--hr", in("chelsea_hr.png"), "--sr", in("chelsea_hr.png"))
		if code, _, errs := metricsCommand(t, args...); code == ExitDone || !strings.Contains(errs, want) {
			t.Errorf("%v: code %d, %q", args, code, errs)
		}
	}
}

// A mean of MS-SSIM is of all images or is not given.
func TestMeanOfMSSSIM(t *testing.T) {
	hr := copyImages(t, map[string]string{"a.png": "coffee_hr.png", "b.png": "chelsea_hr.png"})
	sr := copyImages(t, map[string]string{"a.png": "coffee_bicubic4.png", "b.png": "chelsea_bicubic4.png"})
	_, out, _ := metricsCommand(t, "--hr", hr, "--sr", sr, "--json", "--y", "--crop=4")
	lines := jsonLines(t, out)
	if len(lines) != 3 || lines[2]["y"] != true || lines[2]["crop"] != 4.0 {
		t.Fatalf("%s", out)
	}
	want := (lines[0]["ms_ssim"].(float64) + lines[1]["ms_ssim"].(float64)) / 2
	if v := lines[2]["ms_ssim"].(float64); math.Abs(v-want) > 1e-12 {
		t.Errorf("the mean is %v, want %v", v, want)
	}
	// 192 - 2*16 is below what MS-SSIM needs, 256 - 2*16 is not.
	_, out, _ = metricsCommand(t, "--hr", hr, "--sr", sr, "--json", "--crop=16")
	lines = jsonLines(t, out)
	if lines[0]["ms_ssim"] != nil && lines[1]["ms_ssim"] != nil || lines[2]["ms_ssim"] != nil {
		t.Errorf("%s", out)
	}
	_, out, _ = metricsCommand(t, "--hr", hr, "--sr", sr, "--y", "--crop=16")
	rows := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(rows) != 4 || len(rows[0]) != len(rows[1]) || len(rows[1]) != len(rows[3]) || !strings.HasSuffix(rows[3], " -") {
		t.Errorf("table\n%s", out)
	}
}

// The sets hold the images that were compared, and their distance stands in the
// mean alone. The features are tested where they are computed.
func TestMetricsOfSets(t *testing.T) {
	dir := metricImages(t, map[string]map[string]uint8{"hr": {"a.png": 50, "b.png": 60, "c.png": 99}, "sr": {"a.png": 54, "b.png": 68}})
	positions := func(m metric.Image, _ int) (distribution.Matrix[float32], error) {
		return distribution.Matrix[float32]{N: 1, D: 1, Values: []float32{float32(m.Pix[0])}}, nil
	}
	f := &metricsFlags{hr: filepath.Join(dir, "hr"), sr: filepath.Join(dir, "sr"), json: true}
	run := func(f *metricsFlags) string {
		var out bytes.Buffer
		m := &measurer{sets: &featureSets{positions: positions}}
		if err := m.folders(t.Context(), &streams{out: &out, err: &bytes.Buffer{}}, f); err == nil {
			t.Error("a missing image is no error")
		}
		return out.String()
	}
	const key = "squeezenet_position_frechet_distance"
	lines := jsonLines(t, run(f))
	// Means 55 and 61, variances 50 and 98: roots of them differ by 2 sqrt(2).
	want := 36 + math.Pow(math.Sqrt(98)-math.Sqrt(50), 2)
	if v, ok := lines[3][key].(float64); !ok || math.Abs(v-want) > 1e-9 || lines[0][key] != nil {
		t.Errorf("%v, want a Frechet distance of %g in the mean", lines, want)
	}
	f.json = false
	if out := run(f); !strings.Contains(out, fmt.Sprintf("SqueezeNet 1.1 position Frechet distance of the sets  %.5f\n", want)) {
		t.Errorf("table\n%s", out)
	}
}

// A single position has no variance: the rest of the numbers is given all the
// same.
func TestMetricsOfSetsTooSmall(t *testing.T) {
	dir := metricImages(t, map[string]map[string]uint8{"hr": {"a.png": 50}, "sr": {"a.png": 54}})
	m := &measurer{sets: &featureSets{positions: func(metric.Image, int) (distribution.Matrix[float32], error) {
		return distribution.Matrix[float32]{N: 1, D: 1, Values: []float32{1}}, nil
	}}}
	var out, errs bytes.Buffer
	f := &metricsFlags{hr: filepath.Join(dir, "hr"), sr: filepath.Join(dir, "sr"), json: true}
	if err := m.folders(t.Context(), &streams{out: &out, err: &errs}, f); err != nil || len(jsonLines(t, out.String())) != 2 {
		t.Errorf("%v: %s", err, out.String())
	}
	if !strings.Contains(errs.String(), "no SqueezeNet 1.1 position Frechet distance") || !strings.Contains(errs.String(), "at least 2") {
		t.Errorf("messages: %s", errs.String())
	}
}

// SR3_SQUEEZENET names an ONNX file of SqueezeNet 1.1.
func TestMetricsOfRealSets(t *testing.T) {
	path := os.Getenv("SR3_SQUEEZENET")
	if path == "" {
		t.Skip("set SR3_SQUEEZENET to an ONNX file of SqueezeNet 1.1 to test with its weights")
	}
	hr := copyImages(t, map[string]string{"a.png": "coffee_hr.png", "b.png": "chelsea_hr.png"})
	distance := func(sr string) float64 {
		code, out, errs := metricsCommand(t, "--hr", hr, "--sr", sr, "--features", path, "--json")
		if code != ExitDone {
			t.Fatalf("code %d: %s", code, errs)
		}
		return jsonLines(t, out)[2]["squeezenet_position_frechet_distance"].(float64)
	}
	same := distance(hr)
	four := distance(copyImages(t, map[string]string{"a.png": "coffee_bicubic4.png", "b.png": "chelsea_bicubic4.png"}))
	eight := distance(copyImages(t, map[string]string{"a.png": "coffee_bicubic8.png", "b.png": "chelsea_bicubic8.png"}))
	t.Logf("distance of the same images %g, of bicubic x4 %g, of bicubic x8 %g", same, four, eight)
	if !(same < 1e-9 && 0.001 < four && four < eight && eight < 2) {
		t.Errorf("distance of the same images %g, of bicubic x4 %g, of bicubic x8 %g", same, four, eight)
	}
}
