package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/verify"
	"github.com/sr3-go/sr3/model"
)

func newModel(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "model",
		Aliases: []string{"models"},
		Short:   "List, show, import and verify models",
		Long: `A model is one .safetensors file: weights, configuration and a card. Models are
found by name among those built in and in folders ($SR3_MODELS, a list of them, or
sr3/models in your configuration folder and models in the current one), else by path.
Files of other programs in the models folder of the current one are passed over.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("model has no command %q; it has list, show, card, new, import, export, edit and verify", args[0])
		},
	}
	cmd.AddCommand(newModelList(s), newModelShow(s), newModelCard(s), newModelNew(s), newModelImport(s), newModelExport(s), newModelEdit(s), newModelVerify(s))
	return cmd
}

// modelSummary is one line of "sr3 model list".
type modelSummary struct {
	Name       string `json:"name"`
	Where      string `json:"where"`
	Scale      int    `json:"scale"`
	Family     string `json:"family"`
	Objective  string `json:"objective,omitempty"` // "regression"; empty for refinement
	Trained    string `json:"trained,omitempty"`   // for what, and on what
	Parameters int64  `json:"parameters"`
	Digest     string `json:"digest"`
	Error      string `json:"error,omitempty"`

	fault model.Fault // where there is an Error
}

func newModelList(s *streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the models that are found by name",
		Example: "  sr3 model list\n  SR3_MODELS=~/models sr3 model list --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			list := listModels()
			if asJSON {
				for _, m := range list {
					if err := writeJSON(s.out, m); err != nil {
						return err
					}
				}
				return nil
			}
			if len(list) == 0 {
				fmt.Fprintf(s.out, "no models: none built in, none in %s\n", strings.Join(model.Directories(), " or "))
				return nil
			}
			for _, m := range list {
				if m.Error != "" {
					fmt.Fprintf(s.out, "%-16s  %s: %s\n", m.Name, m.Where, m.Error)
					continue
				}
				where := m.Where
				if m.Objective == model.ObjectiveRegression {
					where += " (regression)"
				}
				fmt.Fprintf(s.out, "%-16s  x%d  %-7s  %7.2f M  %.12s  %s\n", m.Name, m.Scale, m.Family, float64(m.Parameters)/1e6, m.Digest, where)
				fmt.Fprintf(s.out, "%-16s  %s\n", "", m.Trained)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each model")
	return cmd
}

// listModels opens every model that a name finds.
func listModels() []modelSummary {
	var list []modelSummary
	add := func(name, where string) {
		sum := modelSummary{Name: name, Where: where}
		if m, err := model.Open(name); err != nil {
			sum.Error, sum.fault = err.Error(), model.Diagnose(where, err)
		} else {
			sum.Scale, sum.Family, sum.Objective = m.Config.Scale, m.Config.Network.Family, m.Config.Objective
			sum.Parameters, sum.Digest, sum.Trained = m.Parameters(), m.Digest, trainedText(m.Config)
		}
		list = append(list, sum)
	}
	for _, name := range model.Embedded() {
		add(name, "built in")
	}
	for _, name := range model.Installed() {
		if !slices.Contains(model.Embedded(), name) {
			add(name, model.Find(name))
		}
	}
	return list
}

func newModelShow(s *streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show MODEL",
		Short:   "Print a model's card and configuration",
		Example: "  sr3 model show photo-x4\n  sr3 model show runs/mine/model.safetensors --json",
		Args:    nArgs(1, "one model"),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := model.Open(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.out, describeModel(m))
			}
			if m.Card != "" {
				fmt.Fprintf(s.out, "%s\n", m.Card)
			}
			return printModel(s, m)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// modelDescription is the JSON of a model.
type modelDescription struct {
	Config     model.Config `json:"config"`
	Parameters int64        `json:"parameters"`
	Digest     string       `json:"digest"`
	// Weights is the digest of the weights alone.
	Weights string `json:"weights_digest"`
	Card    string `json:"card,omitempty"`
}

func describeModel(m *model.Model) modelDescription {
	return modelDescription{m.Config, m.Parameters(), m.Digest, m.WeightsDigest(), m.Card}
}

// regressionText says what a regression is.
const regressionText = "regression, one call of the network"

// residualText says what is diffused in place of the image.
func residualText(d model.Diffusion) string {
	if a := d.Adaptive; a.Active() {
		return fmt.Sprintf("%v divided by %g + %g g/(1 + g/%g), g the contrast within %d pixels", d.Residual, a.Floor, a.Gain, a.Knee, a.Radius)
	}
	return fmt.Sprint(d.Residual)
}

// printModel writes what a model is for people.
func printModel(s *streams, m *model.Model) error {
	c := m.Config
	n := c.Network
	fmt.Fprintf(s.out, "model       %s, x%d\ndigest      %s\nweights     %s (SHA-256 of the weights alone)\n", c.Name, c.Scale, m.Digest, m.WeightsDigest())
	fmt.Fprintf(s.out, "network     %s, %d parameters, channels %d x %v, %d blocks, fold %d, made for %d pixels\n",
		n.Family, m.Parameters(), n.Channels, n.Multipliers, n.Blocks, max(n.Fold, 1), n.ImageSize)
	if c.Regression() {
		fmt.Fprintf(s.out, "objective   %s; residual %s, trained with %s\n", regressionText, residualText(c.Diffusion), c.Diffusion.Loss)
	} else {
		fmt.Fprintf(s.out, "diffusion   predicts %s, residual %s, gamma drawn by %s, trained with %s\n",
			c.Diffusion.Prediction, residualText(c.Diffusion), c.Diffusion.GammaDraw, c.Diffusion.Loss)
		fmt.Fprintf(s.out, "inference   %s, %d steps, schedule %s, eta %g, temperature %g\n", c.Inference.Sampler, c.Inference.Steps,
			c.Inference.Schedule.Kind, c.Inference.Eta, cmp.Or(c.Inference.Temperature, 1))
		if c.Inference.Consistent {
			fmt.Fprintln(s.out, "            consistent with the input")
		}
	}
	if p := c.Predictor; p != nil {
		fmt.Fprintf(s.out, "predictor   %s: %s, %d parameters of these, channels %d x %v, %d blocks; its result is the condition\n",
			p.Name, p.Network.Family, m.Predictor.Parameters(), p.Network.Channels, p.Network.Multipliers, p.Network.Blocks)
	}
	for _, line := range [][2]string{{"for", c.TrainedFor}, {"trained on", trainedOn(c)}, {"told of", toldText(c)}, {"licence", c.Licence}, {"source", c.Source}} {
		if line[1] != "" {
			fmt.Fprintf(s.out, "%-10s  %s\n", line[0], line[1])
		}
	}
	return nil
}

func newModelVerify(s *streams) *cobra.Command {
	var config, casePath string
	var threads int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify CHECKPOINT --case CASE.safetensors [--config CONFIG.json]",
		Short: "Compare this program's arithmetic with reference values",
		Long: `verify runs a checkpoint and compares prediction, loss, gradients, Adam steps,
sampling and noise schedule with values that another program computed (PyTorch, as
a rule). What the case has no values for is null. It reports differences and does
not judge them: single precision gives about 1e-6 of the range.`,
		Example: "  sr3 model verify I10_E1_gen.pth --config config.json --case case.safetensors --json",
		Args:    nArgs(1, "one checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if casePath == "" {
				return usagef("--case is needed: the file of reference values")
			}
			text, err := readOptional(config)
			if err != nil {
				return err
			}
			r, err := verify.Run(cmd.Context(), verify.Request{Checkpoint: args[0], ConfigJSON: text, Case: casePath, Threads: threads})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.out, r)
			}
			printVerification(s, r)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "the checkpoint's configuration (JSON, // comments allowed)")
	f.StringVar(&casePath, "case", "", "safetensors file of reference values")
	addThreads(f, &threads)
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printVerification(s *streams, r *verify.Result) {
	for _, line := range []struct {
		name  string
		value *float64
	}{
		{"eps, largest difference", r.EpsMaxAbs}, {"  of a range of", r.EpsRange}, {"loss", r.LossAbs},
		{"gradients, largest relative", r.GradMaxRel}, {"Adam, losses", r.AdamLossMaxAbs}, {"Adam, parameters, mean", r.AdamMeanAbs},
		{"Adam, parameters, largest", r.AdamMaxAbs}, {"resumed step, mean", r.ResumeMeanAbs},
		{"sample, largest difference", r.SampleMaxAbs}, {"  of a range of", r.SampleRange}, {"schedule, largest difference", r.ScheduleMaxAbs},
	} {
		if line.value != nil {
			fmt.Fprintf(s.out, "%-30s %.3g\n", line.name, *line.value)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(s.err, "sr3: note: %s\n", n)
	}
}

// openForCopy opens a model that will be written to output, once the flags are known
// to make sense.
func openForCopy(name, output, dtype string, overwrite bool) (*model.Model, checkpoint.DType, error) {
	as, err := copyType(dtype)
	if err != nil {
		return nil, "", err
	}
	if err := checkOutput(output, modelExtension, overwrite); err != nil {
		return nil, "", err
	}
	m, err := model.Open(name)
	if err != nil {
		return nil, "", err
	}
	return m, cmp.Or(as, m.Stored), nil
}

// saveModel writes a model and says so.
func saveModel(s *streams, m *model.Model, path string, as checkpoint.DType) error {
	if err := m.Save(path, as); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%s  %s, %d parameters, digest %.12s\n", path, m.Config.Name, m.Parameters(), m.Digest)
	return err
}

// addCopyType declares --dtype of a command that writes a copy of a model.
func addCopyType(fl *pflag.FlagSet, dtype *string, condition string) {
	fl.StringVar(dtype, "dtype", "", condition+"how weights are stored: f16, bf16 or f32 (default: as they are)")
}

// copyType reads it; empty means as the model has them.
func copyType(name string) (checkpoint.DType, error) {
	if name == "" {
		return "", nil
	}
	return weightType(name)
}

// weightType reads --dtype.
func weightType(name string) (checkpoint.DType, error) {
	switch name {
	case "f16":
		return checkpoint.F16, nil
	case "bf16":
		return checkpoint.BF16, nil
	case "f32":
		return checkpoint.F32, nil
	}
	return "", usagef("--dtype %s: want f16, bf16 or f32", name)
}

// modelExtension ends the names of model files: others are not found again, or are
// taken for PyTorch's.
const modelExtension = ".safetensors"

// checkOutput refuses a missing name, another extension and a file that is in the
// way.
func checkOutput(path, extension string, overwrite bool) error {
	if path == "" {
		return usagef("-o is needed: the file to write")
	}
	if filepath.Ext(path) != extension {
		return usagef("-o %s: the name of such a file ends in %s", path, extension)
	}
	if _, err := os.Lstat(path); err == nil && !overwrite {
		return fmt.Errorf("%s exists already; give --overwrite to replace it, or another name to -o", path)
	}
	return nil
}

// readOptional reads a small text file; no name gives nil.
func readOptional(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	const limit = 4 << 20
	info, err := os.Stat(path)
	if err == nil && info.Size() > limit {
		err = fmt.Errorf("%d bytes, more than any configuration has", info.Size())
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	return text, nil
}
