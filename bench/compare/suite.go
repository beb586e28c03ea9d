package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// scenario is work that several programs do; the first is compared with the others.
type scenario struct {
	name, what string
	programs   []program
}

// program is one command and how its figure is taken.
type program struct {
	name  string
	peer  string // what must be there: "ort", "torch" or nothing
	args  []string
	env   []string
	clock clock
}

// clock is where a turn's figure comes from.
type clock int

const (
	// reported takes median_s of the JSON object that the program prints last; the
	// whole process if it prints none.
	reported clock = iota
	// process is the time from start to end of the process.
	process
	// firstStep is the time from the start to the first line of JSON with the event
	// "step".
	firstStep
)

// Files in the work folder.
const (
	facesFile  = "faces16-128.safetensors"
	facesONNX  = "faces16-128.onnx"
	photoONNX  = "photo-x4-1024.onnx"
	photoImage = "photo256.png"
	smallImage = "photo16.png"
)

// suite lists the project's figures.
func (s *settings) suite() []scenario {
	var out []scenario
	for _, threads := range []int{1, 2} {
		out = append(out, scenario{fmt.Sprintf("forward-%d", threads), fmt.Sprintf("one call of faces16-128, threads: %d", threads),
			[]program{s.benchUNet("sr3", threads), s.runtime(facesONNX, threads), s.torch(threads)}})
	}
	for _, threads := range []int{1, 2} {
		avx2 := s.benchUNet("sr3 avx2", threads)
		avx2.env = []string{"SR3_SIMD=avx2"}
		out = append(out, scenario{fmt.Sprintf("avx2-%d", threads), fmt.Sprintf("one call of faces16-128 on AVX2 alone, the peer on all the processor has, threads: %d", threads),
			[]program{avx2, s.runtime(facesONNX, threads)}})
	}
	out = append(out, scenario{"train", "one training step of faces16-128, batch 2, threads: 2",
		[]program{s.benchUNet("sr3", 2, "--train", "--batch", "2"), s.torch(2, "--train", "--batch", "2")}})
	photo := s.runtime(photoONNX, 2)
	photo.args = append(photo.args, "--runs", "10", "--warmup", "0")
	photo.clock = process
	out = append(out, scenario{"photo", "256x256 to 1024x1024 with photo-x4, 10 network calls, whole process, threads: 2",
		[]program{s.upscale("sr3 upscale", photoImage, "10", process), photo}})
	return append(out, scenario{"start", "16x16 to 64x64: process start to the end of the first step",
		[]program{s.upscale("sr3 upscale", smallImage, "10", firstStep)}})
}

func (s *settings) file(name string) string { return filepath.Join(s.work, name) }

func (s *settings) benchUNet(name string, threads int, more ...string) program {
	args := []string{s.program(), "bench", "unet", "--json", "--model", s.file(facesFile), "--threads", strconv.Itoa(threads), "--runs", strconv.Itoa(s.runs)}
	return program{name: name, args: append(args, more...)}
}

func (s *settings) runtime(file string, threads int) program {
	return program{name: "ONNX Runtime", peer: "ort", args: []string{s.node, "bench/ort.js", s.file(file), "--ort", s.ort,
		"--threads", strconv.Itoa(threads), "--runs", strconv.Itoa(s.runs)}}
}

func (s *settings) torch(threads int, more ...string) program {
	args := []string{s.python, "bench/torch_unet.py", s.file(facesFile), "--threads", strconv.Itoa(threads), "--runs", strconv.Itoa(s.runs)}
	return program{name: "PyTorch", peer: "torch", args: append(args, more...)}
}

func (s *settings) upscale(name, image, steps string, clock clock) program {
	return program{name: name, clock: clock, args: []string{s.program(), "upscale", s.file(image), "--model", "photo-x4", "--steps", steps,
		"-j", "2", "--json", "--overwrite", "-o", s.file("out.png")}}
}

// program is the sr3 to measure.
func (s *settings) program() string {
	if s.sr3 != "" {
		return s.sr3
	}
	return s.file("sr3")
}

// prepare checks that the peers are there and makes the files.
func (s *settings) prepare(ctx context.Context, scenarios []scenario) error {
	if _, err := os.Stat("bench/ort.js"); err != nil {
		return errors.New("bench/ort.js is not here; run this in the root of the repository")
	}
	if err := s.checkPeers(ctx, scenarios); err != nil {
		return err
	}
	if err := os.MkdirAll(s.work, 0o777); err != nil {
		return err
	}
	if s.sr3 == "" {
		if err := command(ctx, "go", "build", "-o", s.file("sr3"), "./cmd/sr3"); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"model", "new", "faces16-128", "--dtype", "f32", "--overwrite", "-o", s.file(facesFile)},
		{"model", "export", s.file(facesFile), "--onnx", "--overwrite", "-o", s.file(facesONNX)},
		{"model", "export", "photo-x4", "--onnx", "--side", "1024", "--overwrite", "-o", s.file(photoONNX)},
	} {
		if err := command(ctx, s.program(), args...); err != nil {
			return err
		}
	}
	return errors.Join(square("testdata/coffee.png", s.file(photoImage), 256), square("testdata/coffee.png", s.file(smallImage), 16))
}

// checkPeers says how to get what is missing.
func (s *settings) checkPeers(ctx context.Context, scenarios []scenario) error {
	uses := func(peer string) bool {
		return slices.ContainsFunc(scenarios, func(sc scenario) bool {
			return slices.ContainsFunc(sc.programs, func(p program) bool { return p.peer == peer })
		})
	}
	if uses("ort") {
		if _, err := os.Stat(filepath.Join(s.ort, "node_modules", "onnxruntime-node", "package.json")); err != nil || s.ort == "" {
			return fmt.Errorf("--ort %q: no ONNX Runtime there; get it with \"npm i onnxruntime-node --ignore-scripts\" in a folder of its own and name that folder", s.ort)
		}
		if _, err := exec.LookPath(s.node); err != nil {
			return fmt.Errorf("--node %s: %w; get Node.js 18 or later", s.node, err)
		}
	}
	if uses("torch") {
		if text, err := exec.CommandContext(ctx, s.python, "-c", "import torch").CombinedOutput(); err != nil {
			return fmt.Errorf("--python %s: no PyTorch there (%w); get it with \"apt-get install --no-install-recommends python3-torch\", or name another Python\n%s", s.python, err, text)
		}
	}
	return nil
}

// command runs what must succeed.
func command(ctx context.Context, name string, args ...string) error {
	if text, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, text)
	}
	return nil
}

// square writes a square image of the pixels of another, repeated where it is too
// small. What is in it does not matter to the speed.
func square(from, to string, side int) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	src, err := png.Decode(f)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	b := src.Bounds()
	dst := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			dst.Set(x, y, src.At(b.Min.X+x%b.Dx(), b.Min.Y+y%b.Dy()))
		}
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(out, dst), out.Close())
}
