package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// inspection is the output of "sr3 inspect --json": what kind of file it is, and
// what that kind has to tell.
type inspection struct {
	File string `json:"file"`
	Kind string `json:"kind"` // image, model, safetensors, pytorch, optimizer

	// Of images.
	Format string            `json:"format,omitempty"`
	Width  int               `json:"width,omitempty"`
	Height int               `json:"height,omitempty"`
	Depth  int               `json:"depth,omitempty"`
	JPEG   int               `json:"jpeg_quality,omitempty"`
	Made   json.RawMessage   `json:"sr3,omitempty"` // how sr3 made it
	Text   map[string]string `json:"text,omitempty"`

	// Of files of tensors.
	Digest  string            `json:"digest,omitempty"`
	Config  *model.Config     `json:"config,omitempty"`
	Card    string            `json:"card,omitempty"`
	Meta    map[string]string `json:"metadata,omitempty"`
	Values  int64             `json:"values,omitempty"` // numbers in all tensors
	Tensors []tensorLine      `json:"tensors,omitempty"`
	Notes   []string          `json:"notes,omitempty"`
}

type tensorLine struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
}

func newInspect(s *streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE...",
		Short: "Show how an image was made, or what a checkpoint holds",
		Long: `inspect reads the settings that sr3 stores in its results (model, digest, sampler,
steps, seed), or lists the configuration, card and tensors of a model, of any
safetensors file, or of a PyTorch checkpoint, without executing anything in it.`,
		Example: `  sr3 inspect photo_sr3_x4.png
  sr3 inspect photo_sr3_x4.png --json | jq .sr3.seed
  sr3 inspect runs/mine/model.safetensors
  sr3 inspect I640000_E37_gen.pth`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which file?")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			for _, path := range args {
				r, err := inspectFile(path)
				if err != nil {
					return err
				}
				if asJSON {
					err = writeJSON(s.out, r)
				} else {
					err = r.print(s)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object for each file")
	return cmd
}

// inspectFile tells the kinds apart by name, then by content.
func inspectFile(path string) (*inspection, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, cause(err))
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".safetensors":
		return inspectTensors(path)
	case ".pth", ".pt", ".ckpt", ".bin":
		return inspectPyTorch(path)
	}
	return inspectImage(path)
}

// maxInspected is the largest image file that is read, in bytes. Pixels do not count:
// they are not decoded, and results are larger than what may be enlarged.
const maxInspected = 1 << 30

func inspectImage(path string) (*inspection, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, cause(err))
	}
	defer f.Close()
	limits := imageio.Limits{MaxPixels: math.MaxInt64, MaxBytes: maxInspected}
	data, err := imageio.ReadAll(f, path, limits)
	if err != nil {
		return nil, err
	}
	info, err := imageio.Inspect(data, path, limits)
	if err != nil {
		if errors.Is(err, imageio.ErrUnknownFormat) {
			return nil, fmt.Errorf("inspect %s: neither an image nor a file of tensors (.safetensors, .pth): %w", path, err)
		}
		return nil, err
	}
	r := &inspection{File: path, Kind: "image", Format: info.Format, Width: info.Width, Height: info.Height, Depth: info.Depth, JPEG: info.Quality, Notes: info.Notes}
	for key, text := range info.Meta.Text {
		if key == sr3.TextKey && json.Valid([]byte(text)) {
			r.Made = json.RawMessage(text)
			continue
		}
		if r.Text == nil {
			r.Text = map[string]string{}
		}
		r.Text[key] = text
	}
	return r, nil
}

// inspectTensors reads a safetensors file's header, and verifies the digest of
// files that have one.
func inspectTensors(path string) (*inspection, error) {
	info, err := checkpoint.ReadInfo(path)
	if err != nil {
		return nil, err
	}
	r := &inspection{File: path, Kind: "safetensors", Meta: info.Meta}
	for _, t := range info.Tensors {
		r.add(t.Name, t.DType, t.Shape)
	}
	if digest := info.Meta[checkpoint.DigestKey]; digest != "" {
		if _, err := checkpoint.Read(path); err != nil {
			return nil, err
		}
		r.Digest = digest
	}
	if text, ok := info.Meta[model.ConfigKey]; ok {
		cfg, err := model.ParseConfig([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("inspect %s: %w", path, err)
		}
		r.Kind, r.Config, r.Card, r.Meta = "model", &cfg, info.Meta[model.CardKey], nil
	}
	return r, nil
}

// inspectPyTorch lists a state dict, or says what an optimiser's state is.
func inspectPyTorch(path string) (*inspection, error) {
	dict, err := checkpoint.StateDict(path)
	if err == nil {
		r := &inspection{File: path, Kind: "pytorch"}
		for _, t := range dict {
			r.add(t.Name, t.DType, t.Shape)
		}
		return r, nil
	}
	state, errState := checkpoint.OptimizerState(path)
	if errState != nil {
		return nil, err
	}
	r := &inspection{File: path, Kind: "optimizer"}
	r.Notes = append(r.Notes, fmt.Sprintf("Adam: rate %g, betas %g and %g, epoch %d, iteration %d, %d parameters",
		state.LearningRate, state.Beta1, state.Beta2, state.Epoch, state.Iter, len(state.Params)))
	for i, p := range state.Params {
		if p.M != nil {
			r.add(fmt.Sprintf("%d.exp_avg", i), p.M.DType, p.M.Shape)
		}
	}
	return r, nil
}

func (r *inspection) add(name string, d checkpoint.DType, shape []int) {
	n := int64(1)
	for _, s := range shape {
		n *= int64(s)
	}
	r.Values += n
	r.Tensors = append(r.Tensors, tensorLine{name, string(d), append([]int{}, shape...)})
}

// print writes the inspection for people.
func (r *inspection) print(s *streams) error {
	fmt.Fprintf(s.out, "%s: %s\n", r.File, r.Kind)
	if r.Kind == "image" {
		fmt.Fprintf(s.out, "format      %s, %dx%d, %d bits\n", r.Format, r.Width, r.Height, r.Depth)
		if r.JPEG > 0 {
			fmt.Fprintf(s.out, "quality     %d of 100\n", r.JPEG)
		}
		r.printMade(s)
	}
	for _, key := range sortedKeys(r.Text) {
		fmt.Fprintf(s.out, "%-10s  %s\n", key, r.Text[key])
	}
	if r.Digest != "" {
		fmt.Fprintf(s.out, "digest      %s (verified)\n", r.Digest)
	}
	if r.Config != nil {
		if r.Config.Regression() {
			fmt.Fprintf(s.out, "objective   %s\n", regressionText)
		}
		fmt.Fprintf(s.out, "trained on  %s\n", trainedOn(*r.Config))
		text, err := json.MarshalIndent(r.Config, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s\n%s\n", r.Card, text)
	}
	for _, key := range sortedKeys(r.Meta) {
		fmt.Fprintf(s.out, "%-10s  %.200s\n", key, r.Meta[key])
	}
	for _, t := range r.Tensors {
		fmt.Fprintf(s.out, "%-4s %-20s %s\n", t.DType, fmt.Sprint(t.Shape), t.Name)
	}
	if len(r.Tensors) > 0 {
		fmt.Fprintf(s.out, "%d tensors, %d values\n", len(r.Tensors), r.Values)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(s.out, "note: %s\n", n)
	}
	return nil
}

// printMade writes the settings that an image was made with.
func (r *inspection) printMade(s *streams) {
	var made sr3.Report
	if r.Made == nil || json.Unmarshal(r.Made, &made) != nil {
		fmt.Fprintln(s.out, "made by     not known: no settings of sr3 are stored in it")
		return
	}
	fmt.Fprintf(s.out, "made by     sr3, model %s (digest %s)\n", made.Model, made.Digest)
	switch {
	case len(made.Stages) > 0:
		fmt.Fprintf(s.out, "settings    x%.4g, %s\n", made.Scale, howMade(&made))
	case made.Objective == model.ObjectiveRegression:
		fmt.Fprintf(s.out, "settings    x%.4g, %s\n", made.Scale, regressionText)
	default:
		fmt.Fprintf(s.out, "settings    x%.4g, %s, %d steps, schedule %s, seed %d", made.Scale, made.Sampler, made.Steps, made.Schedule, made.Seed)
		if made.Eta > 0 {
			fmt.Fprintf(s.out, ", eta %g", made.Eta)
		}
		if made.Temperature > 0 {
			fmt.Fprintf(s.out, ", temperature %g", made.Temperature)
		}
		if made.Draws > 0 {
			fmt.Fprintf(s.out, ", %s of %d draws", made.Statistic, made.Draws)
		}
		fmt.Fprintln(s.out)
	}
	if made.Consistent && made.Statistic != upscale.StatisticDeviation {
		fmt.Fprintln(s.out, "consistent  made so that its reduction is the image it was made from")
	}
	fmt.Fprintf(s.out, "windows     %d of %d pixels, overlap %d, %s, %s\n", made.Windows, made.Tile, made.Overlap, plural(made.Passes, "pass"), made.SIMD)
	if made.Lost != nil {
		fmt.Fprintf(s.out, "told of     %v\n", made.Lost)
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
