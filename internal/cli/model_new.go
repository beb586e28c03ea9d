package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

func newModelNew(s *streams) *cobra.Command {
	var output, dtype string
	var overwrite bool
	var scale int
	var seed uint64
	var perturb float64
	cmd := &cobra.Command{
		Use:   "new NETWORK -o FILE.safetensors",
		Short: "Write an untrained model",
		Long: fmt.Sprintf(`new writes a model with the weights that training starts from. It is for timing a
network, here and in other programs with the same weights, and for checking them
against each other; what it draws means nothing.

Many layers of a fresh network are zero. --perturb adds normal numbers of that
standard deviation to every weight, so that all layers show in the output.

Networks: %s.`, strings.Join(unet.PresetNames(), ", ")),
		Example: "  sr3 model new faces16-128 -o faces.safetensors --dtype f32",
		Args:    nArgs(1, "one network"),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(unet.PresetNames(), args[0]) {
				return usagef("network %s: want one of %s", args[0], strings.Join(unet.PresetNames(), ", "))
			}
			if !(perturb >= 0 && perturb <= 1) {
				return usagef("--perturb %v: want 0 to 1", perturb)
			}
			as, err := weightType(dtype)
			if err != nil {
				return err
			}
			if err := checkOutput(output, modelExtension, overwrite); err != nil {
				return err
			}
			cfg, err := unet.Preset(args[0])
			if err != nil {
				return err
			}
			m, err := model.Untrained(strings.TrimSuffix(filepath.Base(output), modelExtension), cfg, scale, seed, perturb)
			if err != nil {
				return err
			}
			return saveModel(s, m, output, as)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "file to write")
	f.StringVar(&dtype, "dtype", "f16", "how weights are stored: f16, bf16 or f32")
	f.BoolVar(&overwrite, "overwrite", false, "replace a file that exists")
	f.IntVar(&scale, "scale", 0, "how many times larger it is to make images (default: not known)")
	f.Uint64Var(&seed, "seed", 0, "seed of the weights")
	f.Float64Var(&perturb, "perturb", 0, "standard deviation of what is added to every weight")
	return cmd
}
