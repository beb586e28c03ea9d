package cli

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sr3-go/sr3/imageio"
)

// TestMain lets scripts run the program as "sr3".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sr3": func() { os.Exit(Main()) }})
}

// TestScript runs the scripts in testdata/script. Each finds an untrained model
// named tiny in its models folder. Commands of their own: "code N sr3 ..." runs a
// command line that must end with code N; "image FILE W H" makes an image;
// "size FILE W H" checks one; "head FILE OUT N" cuts a file off.
func TestScript(t *testing.T) {
	tiny, err := filepath.Abs("../../testdata/untrained-x4.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			dir := filepath.Join(env.WorkDir, "models")
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
			data, err := os.ReadFile(tiny)
			if err != nil {
				return err
			}
			env.Setenv("SR3_MODELS", dir)
			env.Setenv("REPO", golden)
			return os.WriteFile(filepath.Join(dir, "tiny.safetensors"), data, 0o666)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": scriptCode, "image": scriptImage, "size": scriptSize, "head": scriptHead,
		},
	})
}

// scriptCode runs a command and checks its exit code.
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command...")
	}
	want := number(ts, args[0])
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptImage writes a PNG of smooth colours.
func scriptImage(ts *testscript.TestScript, _ bool, args []string) {
	w, h := number(ts, args[1]), number(ts, args[2])
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x * 11), uint8(y * 7), uint8(x * y), 255})
		}
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	f, err := os.Create(path)
	ts.Check(err)
	ts.Check(png.Encode(f, img))
	ts.Check(f.Close())
}

// scriptSize checks that a file is a whole image of the given size.
func scriptSize(ts *testscript.TestScript, _ bool, args []string) {
	img, err := imageio.ReadFile(ts.MkAbs(args[0]), imageio.Limits{})
	ts.Check(err)
	if got, want := fmt.Sprintf("%d %d", img.Width, img.Height), args[1]+" "+args[2]; got != want {
		ts.Fatalf("%s is %s, want %s", args[0], got, want)
	}
}

// scriptHead writes the first N bytes of a file to another.
func scriptHead(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data[:number(ts, args[2])], 0o666))
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

// TestInterrupt checks that a cancelled command leaves nothing behind.
func TestInterrupt(t *testing.T) {
	t.Setenv("SR3_MODELS", t.TempDir())
	for name, args := range map[string][]string{"plain": {"--steps", "200"}, "samples": {"--samples", "300", "--json"}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			out := filepath.Join(t.TempDir(), "out.png")
			events := 0
			stop := writerFunc(func(p []byte) (int, error) {
				if events++; name == "plain" || events == 12 { // after some draws
					cancel()
				}
				return len(p), nil
			})
			code := Run(ctx, append([]string{"upscale", "../../testdata/coffee.png", "-n", "../../testdata/untrained-x4.safetensors",
				"-o", out, "-t", "32"}, args...), nil, stop, stop)
			if code != ExitInterrupted {
				t.Errorf("exit code %d, want %d", code, ExitInterrupted)
			}
			left, err := os.ReadDir(filepath.Dir(out))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
