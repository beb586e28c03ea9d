// Command agree runs the networks of models in sr3 and in other programs on the
// same input and prints how far apart the predictions are:
//
//	go run ./bench/agree --ort DIR [--python /usr/bin/python3] photo-x4 other.safetensors
//
// DIR is the folder in which "npm i onnxruntime-node --ignore-scripts" was run; with
// --python, models of the family classic are also run in PyTorch.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/model/onnx"
	"github.com/sr3-go/sr3/unet"
)

// settings are those of the command line.
type settings struct {
	ort, node, python    string
	batch, height, width int
	tolerance            float64
}

func main() {
	var s settings
	flag.StringVar(&s.ort, "ort", os.Getenv("SR3_BENCH_ORT"), "folder that holds node_modules/onnxruntime-node ($SR3_BENCH_ORT)")
	flag.StringVar(&s.node, "node", "node", "the program node")
	flag.StringVar(&s.python, "python", "", "a Python with PyTorch (default: do without)")
	flag.IntVar(&s.batch, "batch", 1, "images in a call")
	flag.IntVar(&s.height, "height", 0, "height of the images (default: what the network is made for)")
	flag.IntVar(&s.width, "width", 0, "width of the images (default: what the network is made for)")
	flag.Float64Var(&s.tolerance, "tolerance", 1e-4, "largest difference, in units of the prediction's range, that is no failure")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "agree: name a model, or several")
		os.Exit(2)
	}
	failed := false
	fmt.Println("| model | family | program | input | largest difference | range of the prediction | ratio |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, name := range flag.Args() {
		if err := s.check(name); err != nil {
			fmt.Fprintf(os.Stderr, "agree: %s: %v\n", name, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// check compares one model and prints a line of the table.
func (s settings) check(name string) error {
	m, err := model.Open(name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "agree-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "network.onnx")
	r, err := onnx.Export(path, m, onnx.Options{Batch: s.batch, Height: s.height, Width: s.width})
	if err != nil {
		return err
	}
	in := draw(m.Config.Network, r)
	if err := in.write(dir); err != nil {
		return err
	}
	want, err := in.predict(m)
	if err != nil {
		return err
	}
	peers := [][]string{{"ONNX Runtime", s.node, "bench/ort.js", path, "--ort", s.ort}}
	if s.python != "" && m.Config.Network.Family == unet.FamilyClassic && r.Height == r.Width {
		full := filepath.Join(dir, "full.safetensors")
		if err := m.Save(full, checkpoint.F32); err != nil {
			return err
		}
		peers = append(peers, []string{"PyTorch", s.python, "bench/torch_unet.py", full})
	}
	for _, peer := range peers {
		got, err := in.run(dir, peer[1:])
		if err != nil {
			return err
		}
		worst, extent, err := compare(got, want)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %s | %s | %dx%dx%d | %.2e | %.3g | %.2e |\n", m.Config.Name, m.Config.Network.Family, peer[0],
			r.Batch, r.Height, r.Width, worst, extent, worst/extent)
		if !(worst/extent <= s.tolerance) {
			return fmt.Errorf("the prediction of %s differs by %.2e of its range, more than %.0e", peer[0], worst/extent, s.tolerance)
		}
	}
	return nil
}

// input is what both programs get. Images are NHWC here.
type input struct {
	n, h, w                 int
	condition, noisy, level []float32
	levelName               string
}

// draw makes an input: normal numbers, and a noise level of its own for each image.
func draw(cfg unet.Config, r *onnx.Report) *input {
	in := &input{n: r.Batch, h: r.Height, w: r.Width, levelName: "gamma"}
	pixels := in.n * in.h * in.w
	in.condition, in.noisy = make([]float32, pixels*(cfg.InChannels-cfg.OutChannels)), make([]float32, pixels*cfg.OutChannels)
	philox.New(1, 0).Normal(in.condition, 0)
	philox.New(1, 1).Normal(in.noisy, 0)
	in.level = make([]float32, in.n)
	for i := range in.level {
		in.level[i] = 0.1 + 0.8*float32(philox.New(1, 2).Float64(uint64(i)))
		if cfg.Family == unet.FamilyDDPM {
			in.levelName = "timestep"
			in.level[i] = float32(17 + 100*i)
		}
	}
	return in
}

// predict runs sr3's network and returns its prediction, NCHW.
func (in *input) predict(m *model.Model) ([]float32, error) {
	cfg := m.Config.Network
	g := graph.New()
	inputs := unet.Inputs{Noisy: g.Input("noisy", in.n, in.h, in.w, cfg.OutChannels), Level: g.Input("level", in.n)}
	if len(in.condition) > 0 {
		inputs.Condition = g.Input("condition", in.n, in.h, in.w, cfg.InChannels-cfg.OutChannels)
	}
	out, err := unet.Build(g, cfg, inputs)
	if err != nil {
		return nil, err
	}
	vars := cpu.NewVariables()
	for name, values := range m.Weights {
		vars.Set(name, values)
	}
	program, err := cpu.Compile(g, vars, []*graph.Node{out}, cpu.Options{Threads: 2})
	if err != nil {
		return nil, err
	}
	defer program.Close()
	copy(program.Input("noisy"), in.noisy)
	copy(program.Input("level"), in.level)
	if len(in.condition) > 0 {
		copy(program.Input("condition"), in.condition)
	}
	program.Run()
	return channelsFirst(in.n, program.Output(0)), nil
}

// files are the inputs' files by their names.
func (in *input) files(dir string) map[string]string {
	return map[string]string{"x": filepath.Join(dir, "x.f32"), in.levelName: filepath.Join(dir, "level.f32")}
}

// write writes the input to files as other programs want it: condition and noisy
// image of each image in a row, channels first.
func (in *input) write(dir string) error {
	var x []float32
	condition, noisy := channelsFirst(in.n, in.condition), channelsFirst(in.n, in.noisy)
	for i := range in.n {
		x = append(x, condition[i*len(condition)/in.n:(i+1)*len(condition)/in.n]...)
		x = append(x, noisy[i*len(noisy)/in.n:(i+1)*len(noisy)/in.n]...)
	}
	for name, file := range in.files(dir) {
		values := in.level
		if name == "x" {
			values = x
		}
		raw, err := binary.Append(nil, binary.LittleEndian, values)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, raw, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// run has another program predict and reads its prediction.
func (in *input) run(dir string, command []string) ([]float32, error) {
	result := filepath.Join(dir, "out.f32")
	args := append(command[1:], "--out", result)
	for name, file := range in.files(dir) {
		args = append(args, "--in", name+"="+file)
	}
	if text, err := exec.Command(command[0], args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command[:2], " "), err, text)
	}
	raw, err := os.ReadFile(result)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(raw)/4)
	_, err = binary.Decode(raw, binary.LittleEndian, out)
	return out, errors.Join(err, os.Remove(result))
}

// channelsFirst turns n images of three channels from NHWC to NCHW.
func channelsFirst(n int, data []float32) []float32 {
	const channels = 3
	pixels := len(data) / channels / n
	out := make([]float32, 0, len(data))
	for i := range n {
		for c := range channels {
			for p := range pixels {
				out = append(out, data[(i*pixels+p)*channels+c])
			}
		}
	}
	return out
}

// compare returns the largest difference and the range of want.
func compare(got, want []float32) (worst, extent float64, err error) {
	if len(got) != len(want) {
		return 0, 0, fmt.Errorf("%d values, in sr3 %d", len(got), len(want))
	}
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			return 0, 0, fmt.Errorf("element %d is %v, in sr3 %v", i, got[i], want[i])
		}
		worst = max(worst, d)
	}
	return worst, float64(slices.Max(want)) - float64(slices.Min(want)), nil
}
