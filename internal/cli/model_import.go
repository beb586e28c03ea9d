package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/model"
)

// importFlags are the settings of "sr3 model import".
type importFlags struct {
	output, config, dtype string
	overwrite             bool
	groups, size          int
	dropout               float64
	options               model.ImportOptions
}

func newModelImport(s *streams) *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use:   "import CHECKPOINT.pth -o MODEL.safetensors",
		Short: "Turn a PyTorch checkpoint into a model",
		Long: `import reads a checkpoint of the widely used PyTorch implementation of SR3 (a
"_gen.pth", of any version of PyTorch) without executing anything, and writes a
model. Channels, blocks, attention and noise schedule follow from the file. The
number of normalisation groups, dropout and image size do not: they are known for
the released checkpoints, and otherwise come from --config (the JSON it was trained
with, // comments and all) or from flags. Nothing is guessed.`,
		Example: `  sr3 model import I640000_E37_gen.pth -o faces-x8.safetensors
  sr3 model import I10_E1_gen.pth --config sr_sr3_16_128.json -o mine.safetensors
  sr3 model import gen.pth --norm-groups 32 --dropout 0.2 --image-size 128 --scale 8 -o mine.safetensors`,
		Args: nArgs(1, "one checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, s, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.output, "output", "o", "", "model file to write")
	fl.StringVar(&f.config, "config", "", "the training configuration (JSON)")
	fl.StringVar(&f.dtype, "dtype", "f16", "how weights are stored: f16, bf16 or f32")
	fl.BoolVar(&f.overwrite, "overwrite", false, "replace a file that exists")
	fl.IntVar(&f.groups, "norm-groups", 0, "groups of the normalisations")
	fl.Float64Var(&f.dropout, "dropout", 0, "dropout while training")
	fl.IntVar(&f.size, "image-size", 0, "side of the images it was trained on")
	fl.IntVar(&f.options.Scale, "scale", 0, "how many times larger it makes images")
	fl.StringVar(&f.options.Name, "name", "", "name of the model (default: the file's)")
	fl.StringVar(&f.options.TrainedFor, "for", "", "what images it is meant for, in words")
	fl.StringVar(&f.options.Licence, "licence", "", "licence of the weights")
	return cmd
}

func (f *importFlags) run(cmd *cobra.Command, s *streams, path string) error {
	as, err := weightType(f.dtype)
	if err != nil {
		return err
	}
	if err := checkOutput(f.output, modelExtension, f.overwrite); err != nil {
		return err
	}
	if f.options.ConfigJSON, err = readOptional(f.config); err != nil {
		return err
	}
	changed := cmd.Flags().Changed
	if changed("norm-groups") {
		f.options.Groups = &f.groups
	}
	if changed("dropout") {
		f.options.Dropout = &f.dropout
	}
	if changed("image-size") {
		f.options.ImageSize = &f.size
	}
	m, report, err := model.ImportPyTorch(path, f.options)
	if err != nil && f.config != "" {
		return fmt.Errorf("with %s: %w", f.config, err)
	}
	if err != nil {
		return err
	}
	for _, n := range report.Notes {
		fmt.Fprintf(s.err, "sr3: note: %s\n", n)
	}
	return saveModel(s, m, f.output, as)
}
