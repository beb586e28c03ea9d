package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/model/onnx"
)

// exportFlags are the settings of "sr3 model export".
type exportFlags struct {
	output, dtype     string
	overwrite, asONNX bool
	predictor         bool
	side              int
	network           onnx.Options
}

func newModelExport(s *streams) *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{
		Use:   "export MODEL -o FILE.safetensors | --onnx -o FILE.onnx",
		Short: "Write a model to a file of its own, or its network as ONNX",
		Long: `export writes a model, one that is built in for example, to a file. The file holds
weights, configuration and card.

With --onnx it writes the network alone, in float32, for other programs to run (ONNX
operator set 17). The file is for images of one size, which is that of the result:
--side 1024 for 256x256 pixels enlarged four times. Tensors have channels first: x
[N,6,H,W] is the condition (the enlarged image), then the noisy image, both in [-1, 1];
gamma [N,1] is the noise level sqrt(gamma); the output is the raw prediction
[N,3,H,W]. Models conditioned on a timestep have timestep instead of gamma. Regressions
take zeros for the noisy image and for the level. Networks that are told what an image
has lost have augment [N,3] too: blur, noise and JPEG as shares of the worst of their
training, from 0 to 1. Behind a predictor the condition is its result. Weights of 2 GiB and more go to
FILE.onnx.data, which must stay beside it.

With --predictor it is the predictor of a model that has one which is written: the
regression that makes the condition.`,
		Example: `  sr3 model export photo-x4 -o photo-x4.safetensors
  sr3 model export photo-x4 -o full.safetensors --dtype f32
  sr3 model export photo-x4 --onnx -o photo-x4.onnx --side 1024
  sr3 model export photo-x4 --predictor -o regression.safetensors`,
		Args: nArgs(1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.asONNX {
				return f.exportONNX(cmd, s, args[0])
			}
			for _, name := range []string{"side", "height", "width", "batch"} {
				if cmd.Flags().Changed(name) {
					return usagef("--%s is for --onnx; a model takes images of any size", name)
				}
			}
			m, as, err := openForCopy(args[0], f.output, f.dtype, f.overwrite)
			if err != nil {
				return err
			}
			if m, err = f.part(m); err != nil {
				return err
			}
			return saveModel(s, m, f.output, as)
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.output, "output", "o", "", "file to write")
	addCopyType(fl, &f.dtype, "")
	fl.BoolVar(&f.overwrite, "overwrite", false, "replace a file that exists")
	fl.BoolVar(&f.predictor, "predictor", false, "write the model's predictor instead of the model")
	fl.BoolVar(&f.asONNX, "onnx", false, "write the network as ONNX")
	fl.IntVar(&f.side, "side", 0, "with --onnx: height and width of the images (default: what the network is made for)")
	fl.IntVar(&f.network.Height, "height", 0, "with --onnx: height of the images (default: --side)")
	fl.IntVar(&f.network.Width, "width", 0, "with --onnx: width of the images (default: --side)")
	fl.IntVar(&f.network.Batch, "batch", 1, "with --onnx: images in a call")
	return cmd
}

// part is the model, or its predictor where that is asked for.
func (f *exportFlags) part(m *model.Model) (*model.Model, error) {
	switch {
	case !f.predictor:
		return m, nil
	case m.Predictor == nil:
		return nil, usagef("--predictor: model %s has none; its condition is the bicubic enlargement", m.Config.Name)
	}
	return m.Predictor, nil
}

func (f *exportFlags) exportONNX(cmd *cobra.Command, s *streams, name string) error {
	if cmd.Flags().Changed("dtype") {
		return usagef("--dtype %s: ONNX files are written in f32 alone", f.dtype)
	}
	o := f.network
	if o.Batch < 1 || f.side < 0 || o.Height < 0 || o.Width < 0 {
		return usagef("--batch %d, --side %d, --height %d, --width %d: want positive numbers", o.Batch, f.side, o.Height, o.Width)
	}
	if o.Height == 0 {
		o.Height = f.side
	}
	if o.Width == 0 {
		o.Width = f.side
	}
	if err := checkOutput(f.output, ".onnx", f.overwrite); err != nil {
		return err
	}
	m, err := model.Open(name)
	if err != nil {
		return err
	}
	if m, err = f.part(m); err != nil {
		return err
	}
	o.Version = currentVersion().Version
	r, err := onnx.Export(f.output, m, o)
	if err != nil {
		return err
	}
	also := ""
	if r.WeightsFile != "" {
		also = fmt.Sprintf(", weights in %s", filepath.Join(filepath.Dir(f.output), r.WeightsFile))
	}
	_, err = fmt.Fprintf(s.out, "%s  network of %s for %d image(s) of %dx%d, %d operations%s\n",
		f.output, m.Config.Name, r.Batch, r.Width, r.Height, r.Nodes, also)
	return err
}
