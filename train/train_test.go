package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/model"
)

// childVariable makes the test binary train in a directory until it is killed.
const childVariable = "SR3_TEST_TRAIN_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		trainUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func trainUntilKilled(dir string) {
	cfg, err := LoadConfig("", append(tinySets(), "train.steps=1000000", "train.checkpoint_steps=1"))
	if err == nil {
		_, err = Run(context.Background(), Options{Config: cfg, OutDir: filepath.Join(dir, "run"), Data: []string{filepath.Join(dir, "images")}})
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	os.Exit(3)
}

// tinySets describe a network that trains in milliseconds. It has dropout, so that its random numbers are resumed too.
func tinySets() []string {
	return []string{
		"model.channels=8", "model.multipliers=[1]", "model.blocks=1", "model.groups=2", "model.image_size=16", "model.dropout=0.1",
		"data.crop=16", "train.batch=4", "train.warmup=4", "train.log_steps=2", "train.rate=1e-3",
		"train.sample_size=16", "train.sample_count=2", "train.sample_refine=3", "train.val_examples=4",
		"train.checkpoint_every=0", "train.sample_every=0",
	}
}

func tinyConfig(t testing.TB, sets ...string) Config {
	t.Helper()
	cfg, err := LoadConfig("", append(tinySets(), sets...))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// images makes a folder of small pictures with edges and gradients.
func images(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		img := image.NewNRGBA(image.Rect(0, 0, 40, 33))
		for y := range 33 {
			for x := range 40 {
				img.SetNRGBA(x, y, color.NRGBA{uint8(x * y * (i + 1)), uint8(x / 5 * 40), uint8((x + y) / 7 * 50), 255})
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustRun(t testing.TB, opt Options) Result {
	t.Helper()
	res, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func readState(t testing.TB, dir string) *checkpoint.File {
	t.Helper()
	f, err := checkpoint.Read(filepath.Join(dir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sameState compares every tensor and every counter of two checkpoints, bit for bit.
func sameState(t testing.TB, a, b *checkpoint.File) {
	t.Helper()
	if !slices.Equal(a.Names(), b.Names()) {
		t.Fatalf("tensors %v and %v", a.Names(), b.Names())
	}
	for _, name := range a.Names() {
		if !bytes.Equal(a.Tensors[name].Data, b.Tensors[name].Data) {
			t.Errorf("tensor %s differs", name)
		}
	}
	for _, key := range []string{metaStep, metaAdam, metaImages, metaSeed, metaLoss} {
		if a.Meta[key] == "" || a.Meta[key] != b.Meta[key] {
			t.Errorf("%s is %q and %q", key, a.Meta[key], b.Meta[key])
		}
	}
}

// TestKilledRunGoesOnBitForBit kills a training process with SIGKILL while it writes a checkpoint every step, goes on
// for three steps and wants what an uninterrupted run has.
func TestKilledRunGoesOnBitForBit(t *testing.T) {
	data := images(t)
	dir := filepath.Dir(data)
	out := filepath.Join(dir, "run")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+dir)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		info, err := checkpoint.ReadInfo(filepath.Join(out, checkpointFile))
		if err == nil && len(info.Meta[metaStep]) > 0 && info.Meta[metaStep] >= "3" {
			break
		}
		if time.Now().After(deadline) {
			child.Process.Kill()
			child.Wait()
			t.Fatalf("no checkpoint of step 3 appeared: %s", stderr.String())
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	var at int
	if _, err := fmt.Sscan(readState(t, out).Meta[metaStep], &at); err != nil {
		t.Fatal(err)
	}
	cfg := tinyConfig(t, fmt.Sprintf("train.steps=%d", at+3))
	if res := mustRun(t, Options{Config: cfg, OutDir: out, Data: []string{data}}); res.Step != at+3 {
		t.Fatalf("went on from step %d to %d", at, res.Step)
	}
	straight := t.TempDir()
	mustRun(t, Options{Config: cfg, OutDir: straight, Data: []string{data}})
	sameState(t, readState(t, out), readState(t, straight))
}

// TestStoppedRunGoesOnBitForBit cancels after three of six steps, and also writes the second half from shards.
func TestStoppedRunGoesOnBitForBit(t *testing.T) {
	data := []string{images(t)}
	cfg := tinyConfig(t, "train.steps=6", "train.micro_batch=2", "train.shard_mb=1")
	straight, out := t.TempDir(), t.TempDir()
	mustRun(t, Options{Config: cfg, OutDir: straight, Data: data})

	ctx, cancel := context.WithCancel(t.Context())
	res, err := Run(ctx, Options{Config: cfg, OutDir: out, Data: data, Progress: func(p Progress) {
		if p.Step == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, ErrStopped) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "sr3 train --out "+out) || res.Step != 3 {
		t.Fatalf("stopped at step %d with %v", res.Step, err)
	}
	// The checkpoint file is lost, the shards are not.
	if err := os.Remove(filepath.Join(out, checkpointFile)); err != nil {
		t.Fatal(err)
	}
	cfg.Train.Threads = 1 // does not matter
	mustRun(t, Options{Config: cfg, OutDir: out, Data: data})
	sameState(t, readState(t, out), readState(t, straight))
	folders, err := shardFolders(out)
	if err != nil || len(folders) != 1 || !strings.HasSuffix(folders[0], "step-0000000006") {
		t.Errorf("shards %v, %v", folders, err)
	}
}

func TestThreadsDoNotMatter(t *testing.T) {
	data := []string{images(t)}
	var states []*checkpoint.File
	for _, threads := range []int{1, 2, 2} {
		out := t.TempDir()
		mustRun(t, Options{Config: tinyConfig(t, "train.steps=20", fmt.Sprintf("train.threads=%d", threads), "data.workers=2"), OutDir: out, Data: data})
		states = append(states, readState(t, out))
	}
	sameState(t, states[0], states[1])
	sameState(t, states[1], states[2])
}

// TestLearns fits one crop and wants the loss far below where it began, for each kind of target.
func TestLearns(t *testing.T) {
	data := []string{filepath.Join(images(t), "0.png")}
	for _, sets := range [][]string{
		{"diffusion.prediction=v"},
		{"diffusion.prediction=eps", "diffusion.loss=l1", "diffusion.residual=0", "diffusion.gamma_draw=schedule"},
		{"diffusion.prediction=x0", "diffusion.gamma_draw=sqrt", "diffusion.stratified=false"},
		{"train.objective=regression", "diffusion.residual=0"},
		{"train.optimizer=muon"},
		{"model.preset=tiny", "model.family=ddpm", "model.attention=[]", "model.channels=8", "model.groups=2", "diffusion.prediction=eps", "diffusion.residual=0"},
	} {
		cfg := tinyConfig(t, append([]string{"model.channels=64", "model.groups=8", "train.steps=200", "train.rate=4e-3", "model.dropout=0", "data.flip=false", "data.rotate=false", "data.fit=resize", "train.decay=cosine", "train.log_steps=20"}, sets...)...)
		out := t.TempDir()
		mustRun(t, Options{Config: cfg, OutDir: out, Data: data})
		stats := readStats(t, out)
		first, last := stats[0].Loss, stats[9].Loss
		if !(last < 0.7*first) {
			t.Errorf("%v: loss went from %.4f to %.4f", sets, first, last)
		}
	}
}

func TestRunDirectory(t *testing.T) {
	data := []string{images(t)}
	out := t.TempDir()
	cfg := tinyConfig(t, "train.steps=6", "train.sample_steps=3", "train.seed=5")
	cfg.Data.Val = data
	var log bytes.Buffer
	var steps []int
	res := mustRun(t, Options{Config: cfg, OutDir: out, Data: data, Log: &log, Progress: func(p Progress) {
		steps = append(steps, p.Step)
		if p.Steps != 6 || !(p.ImagesPerS > 0) || !(p.Loss > 0) || p.ETA < 0 {
			t.Errorf("progress %+v", p)
		}
	}})
	if !slices.Equal(steps, []int{1, 2, 3, 4, 5, 6}) {
		t.Errorf("progress was told of steps %v", steps)
	}
	m, err := model.Load(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	if m.Config.Scale != 4 || m.Config.Diffusion.Residual != 4 || m.Parameters() == 0 || !strings.Contains(m.Card, "6 steps") {
		t.Errorf("model %+v with card %q", m.Config, m.Card)
	}
	if _, err := model.Load(filepath.Join(out, bestFile)); err != nil {
		t.Error(err)
	}
	again, err := LoadRunConfig(out, "", nil)
	if err != nil || again.Train.Seed != 5 || !slices.Equal(again.Data.Dirs, data) {
		t.Errorf("config.toml gives %+v, %v", again, err)
	}
	for _, name := range []string{"grid-00000003.png", "grid-00000006.png"} {
		f, err := os.Open(filepath.Join(out, gridFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		grid, err := png.Decode(f)
		f.Close()
		if err != nil || grid.Bounds().Dx() != 3*16+2*gridGap || grid.Bounds().Dy() != 2*16+gridGap {
			t.Errorf("%s: %v, %v", name, grid, err)
		}
	}
	if events, _ := filepath.Glob(filepath.Join(out, "events.out.tfevents.*")); len(events) != 1 {
		t.Errorf("event files %v", events)
	}
	checkStats(t, readStats(t, out))
	if text, err := os.ReadFile(filepath.Join(out, logFile)); err != nil || !strings.Contains(string(text), "done: 6 steps") || !strings.Contains(log.String(), "done: 6 steps") {
		t.Errorf("log %q, %v, and %q", text, err, log.String())
	}
}

func checkStats(t *testing.T, stats []record) {
	t.Helper()
	losses, validations := 0, 0
	for i, r := range stats {
		if r.Images != int64(4*r.Step) || r.Timestamp == 0 || i > 0 && r.Step < stats[i-1].Step {
			t.Errorf("line %d: %+v", i, r)
		}
		if r.Loss > 0 && r.GradNorm > 0 && r.Rate > 0 && r.ImagesPerS > 0 {
			losses++
		}
		if r.LossVal > 0 && r.SamplePSNR > 0 && r.BicubicPSNR > 0 {
			validations++
		}
	}
	if losses != 3 || validations != 2 {
		t.Errorf("%d lines of training and %d of validation, want 3 and 2", losses, validations)
	}
}

// TestBeginFromModel: --init takes the weights, a state in memory also the optimiser.
func TestBeginFromModel(t *testing.T) {
	data := []string{images(t)}
	first := t.TempDir()
	cfg := tinyConfig(t, "train.steps=3")
	res := mustRun(t, Options{Config: cfg, OutDir: first, Data: data})
	m, err := model.Load(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	adopted, err := LoadInitConfig(t.TempDir(), res.Model, "", []string{"model.dropout=0.1"})
	if err != nil || adopted.Data.Crop != 16 || adopted.Model.Channels != 8 {
		t.Fatalf("the configuration for the model is %+v, %v", adopted, err)
	}
	start, err := openStart(Options{Config: adopted, Init: res.Model})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newState(cfg, start)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range m.Weights {
		if !slices.Equal(s.vars.Get(name), values) || !slices.Equal(s.vars.Get(prefixEMA+name), values) {
			t.Fatalf("parameter %s does not begin from the model", name)
		}
		for _, v := range s.vars.Get(prefixM + name) {
			if v != 0 {
				t.Fatal("the optimiser is not fresh")
			}
		}
	}
	mustRun(t, Options{Config: cfg, OutDir: t.TempDir(), Data: data, Init: res.Model})
	other := tinyConfig(t, "model.channels=16")
	if _, err := Run(t.Context(), Options{Config: other, OutDir: t.TempDir(), Data: data, Init: res.Model}); err == nil || !strings.Contains(err.Error(), res.Model) {
		t.Errorf("a model of another network is taken: %v", err)
	}
}

// TestPyTorchRunGoesOn takes weights and optimiser from PyTorch's files.
func TestPyTorchRunGoesOn(t *testing.T) {
	const gen, opt = "../checkpoint/testdata/I10_E1_gen.pth", "../checkpoint/testdata/I10_E1_opt.pth"
	foreign, err := os.ReadFile("../model/testdata/nano.json")
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := model.ImportPyTorch(gen, model.ImportOptions{ConfigJSON: foreign})
	if err != nil {
		t.Fatal(err)
	}
	state, err := model.ImportOptimizer(opt, m)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "nano.safetensors")
	if err := m.Save(path, checkpoint.F32); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	cfg, err := LoadInitConfig(out, path, "", []string{"model.scale=4", "train.steps=1", "train.batch=2", "train.sample_count=1"})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, Options{Config: cfg, OutDir: out, Data: []string{images(t)}, Init: path, Optimizer: opt})
	f := readState(t, out)
	if want := fmt.Sprint(state.Step + 1); f.Meta[metaAdam] != want || f.Meta[metaStep] != "1" {
		t.Errorf("adam step %s of step %s, want %s of 1", f.Meta[metaAdam], f.Meta[metaStep], want)
	}
	_, err = Run(t.Context(), Options{Config: cfg, OutDir: t.TempDir(), Data: []string{images(t)}, Optimizer: opt})
	if err == nil || !strings.Contains(err.Error(), "--init") {
		t.Errorf("an optimiser without weights: %v", err)
	}
}

// TestImportedOptimiserGoesOn: weights and moments of a state give the step that the state's own run takes.
func TestImportedOptimiserGoesOn(t *testing.T) {
	data := []string{images(t)}
	out, imported := t.TempDir(), t.TempDir()
	mustRun(t, Options{Config: tinyConfig(t, "train.steps=3", "train.warmup=0"), OutDir: out, Data: data})
	f := readState(t, out)
	cfg := tinyConfig(t, "train.steps=4", "train.warmup=0")
	s, err := restore(cfg, f)
	if err != nil {
		t.Fatal(err)
	}
	start := &Start{Weights: s.values(""), M: s.values(prefixM), V: s.values(prefixV), Step: 3}
	n, err := newState(cfg, start)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(n.hyper(), s.hyper()) {
		t.Errorf("the next step has numbers %v, want %v", n.hyper(), s.hyper())
	}
	cfg.Train.Steps = 1
	res := mustRun(t, Options{Config: cfg, OutDir: imported, Data: data, Start: start})
	if got := readState(t, imported); got.Meta[metaAdam] != "4" || res.Step != 1 {
		t.Errorf("adam step %s, step %d", got.Meta[metaAdam], res.Step)
	}
	start.V = nil
	if _, err := newState(cfg, start); err == nil {
		t.Error("half an optimiser's state is taken")
	}
}

// TestDivergenceKeepsTheCheckpoint poisons a weight, and wants an error and the file as it was.
func TestDivergenceKeepsTheCheckpoint(t *testing.T) {
	data := []string{images(t)}
	out := t.TempDir()
	mustRun(t, Options{Config: tinyConfig(t, "train.steps=2"), OutDir: out, Data: data})
	f := readState(t, out)
	name := "model.head.conv.weight"
	values, err := f.Tensors[name].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for i := range values {
		values[i] = math.MaxFloat32
	}
	f.Tensors[name] = checkpoint.FromFloat32(f.Tensors[name].Shape, values)
	path := filepath.Join(out, checkpointFile)
	if _, err := checkpoint.Write(path, f); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	_, err = Run(t.Context(), Options{Config: tinyConfig(t, "train.steps=9", "train.checkpoint_steps=1"), OutDir: out, Data: data})
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "step 2 is kept") {
		t.Fatalf("error %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the checkpoint was changed")
	}
}

func TestResumeRefuses(t *testing.T) {
	data := []string{images(t)}
	out := t.TempDir()
	mustRun(t, Options{Config: tinyConfig(t, "train.steps=2"), OutDir: out, Data: data})
	path := filepath.Join(out, checkpointFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), Options{Config: tinyConfig(t, "diffusion.residual=2"), OutDir: out, Data: data})
	if err == nil || !strings.Contains(err.Error(), "diffusion.residual") {
		t.Errorf("another target: %v", err)
	}
	for name, damaged := range map[string][]byte{
		"cut": whole[:len(whole)/2], "empty": nil, "flipped": flip(whole, len(whole)-100), "foreign": []byte("{}"),
	} {
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), Options{Config: tinyConfig(t), OutDir: out, Data: data})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s checkpoint: %v", name, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, damaged) {
			t.Errorf("%s checkpoint was overwritten", name)
		}
	}
}

func flip(data []byte, at int) []byte {
	out := slices.Clone(data)
	out[at] ^= 4
	return out
}

func TestRunErrors(t *testing.T) {
	data := []string{images(t)}
	if _, err := Run(t.Context(), Options{Config: tinyConfig(t), OutDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("no images: %v", err)
	}
	if _, err := Run(t.Context(), Options{Config: tinyConfig(t), Data: data}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("no directory: %v", err)
	}
	if _, err := Run(t.Context(), Options{Data: data, OutDir: t.TempDir()}); err == nil {
		t.Error("an empty configuration is taken")
	}
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil {
		t.Skip("no advisory locks here")
	} else if !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v does not name the directory", err)
	}
	unlock()
	again, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestDryRun(t *testing.T) {
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := Run(t.Context(), Options{Config: tinyConfig(t), OutDir: dir, Data: []string{images(t)}, DryRun: true, Log: &out}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"[model]", "channels = 8", "# parameters", "GFLOP", "MiB", "# images              3", "begins anew"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if fileExists(dir) {
		t.Error("a dry run wrote something")
	}
	if _, err := parseConfig(out.String()); err != nil {
		t.Errorf("what a dry run prints is no configuration: %v", err)
	}
	if _, err := Run(t.Context(), Options{Config: tinyConfig(t), DryRun: true, Log: io.Discard}); err != nil {
		t.Errorf("without images and directory: %v", err)
	}
}
