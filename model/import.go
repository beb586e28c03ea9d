package model

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/unet"
)

// networkPrefix is before the names of the network's parameters in checkpoints
// of the PyTorch implementation; the schedule's buffers have none.
const networkPrefix = "denoise_fn."

// scheduleBuffers are the entries of a checkpoint that follow from betas.
func scheduleBuffers() []string {
	return []string{
		"betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
		"log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
		"posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
	}
}

// ImportOptions gives what a checkpoint does not tell. Everything may be left out
// for the released checkpoints.
type ImportOptions struct {
	// ConfigJSON is the training configuration, with // comments or without.
	ConfigJSON []byte
	// Groups, Dropout and ImageSize override the configuration and the known layout.
	Groups    *int
	Dropout   *float64
	ImageSize *int
	// Scale overrides the configuration and the known layout; 0 leaves it to them.
	Scale int
	// Name of the model; empty means the file's name.
	Name string
	// TrainedFor and Licence are kept in the configuration.
	TrainedFor, Licence string
}

// Report says what an import found.
type Report struct {
	Tensors    int    // entries of the file, buffers included
	Parameters int64  // learned numbers
	Layout     string // name of the known layout, or empty
	Notes      []string
}

// ImportPyTorch reads a checkpoint of the widely used PyTorch implementation
// (a "_gen.pth"; both its networks) without executing anything. Channels,
// multipliers, blocks, places of attention, the kind of conditioning and the
// noise schedule come from names, shapes and betas. Groups, dropout and image
// size do not show there: they come from the options, else the configuration,
// else a known layout that the file equals exactly; otherwise the error asks for
// them. A configuration that contradicts the file is an error that names the
// first parameter that does not fit and the setting that would make it fit.
func ImportPyTorch(path string, opts ImportOptions) (*Model, Report, error) {
	im := &importer{opts: opts}
	m, err := im.run(path)
	if err != nil {
		return nil, im.report, fmt.Errorf("import %s: %w", path, err)
	}
	return m, im.report, nil
}

// importer is one import under way.
type importer struct {
	opts      ImportOptions
	config    *foreignConfig // nil without one
	structure structure
	layout    *knownLayout // nil if unknown
	report    Report
}

func (im *importer) note(format string, args ...any) {
	im.report.Notes = append(im.report.Notes, fmt.Sprintf(format, args...))
}

func (im *importer) run(path string) (*Model, error) {
	if im.opts.ConfigJSON != nil {
		var err error
		if im.config, err = parseForeignConfig(im.opts.ConfigJSON); err != nil {
			return nil, err
		}
	}
	dict, err := checkpoint.StateDict(path)
	if err != nil {
		return nil, err
	}
	im.report.Tensors = len(dict)
	params, buffers, err := partition(dict)
	if err != nil {
		return nil, err
	}
	config, err := im.modelConfig(path, params, buffers)
	if err != nil {
		return nil, err
	}
	weights, err := im.weights(config.Network, params)
	if err != nil {
		return nil, err
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Model{Config: config, Weights: weights}, nil
}

// partition divides a state dict into the network's tensors, by name without
// prefix, and the schedule's.
func partition(dict []checkpoint.NamedTensor) (params, buffers map[string]*checkpoint.Tensor, err error) {
	params, buffers = map[string]*checkpoint.Tensor{}, map[string]*checkpoint.Tensor{}
	for _, e := range dict {
		name := strings.TrimPrefix(e.Name, "module.")
		into := params
		if slices.Contains(scheduleBuffers(), name) {
			into = buffers
		} else {
			name = strings.TrimPrefix(name, networkPrefix)
		}
		if into[name] != nil {
			return nil, nil, fmt.Errorf("two entries for %s", name)
		}
		into[name] = e.Tensor
	}
	delete(params, "time_mlp.0.inv_freq") // frequencies of the embedding, fixed by inner_channel
	return params, buffers, nil
}

// modelConfig works out the configuration.
func (im *importer) modelConfig(path string, params, buffers map[string]*checkpoint.Tensor) (Config, error) {
	shapes := make(map[string][]int, len(params))
	for name, t := range params {
		shapes[name] = t.Shape
		im.report.Parameters += int64(t.Len())
	}
	network, err := im.network(shapes)
	if err != nil {
		return Config{}, err
	}
	c := Config{
		FormatVersion: FormatVersion,
		Name:          im.opts.Name,
		Scale:         im.scale(),
		Network:       network,
		Diffusion:     Diffusion{Prediction: diffusion.PredictEps, Loss: diffusion.L1, GammaDraw: diffusion.DrawSqrt},
		Inference: Inference{
			Sampler: refine.SamplerAncestral, Schedule: refine.Schedule{Kind: refine.ScheduleTraining},
			Variance: refine.VariancePosterior, Clip: true,
		},
		Condition:  Condition{Quantised8: true},
		TrainedFor: im.opts.TrainedFor,
		Licence:    im.opts.Licence,
		Source:     "imported from " + filepath.Base(path),
	}
	if c.Name == "" {
		c.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return c, im.setSchedule(buffers["betas"], &c.Diffusion)
}

// network works out the U-Net: structure from the shapes, checked against the
// configuration, and the settings that shapes do not tell.
func (im *importer) network(shapes map[string][]int) (unet.Config, error) {
	s, err := inferStructure(shapes)
	if err != nil {
		return unet.Config{}, err
	}
	im.structure = s
	im.layout = findLayout(s, im.report.Parameters)
	if im.layout != nil {
		im.report.Layout = im.layout.name
	}
	if im.config != nil {
		if err := im.config.compare(s); err != nil {
			return unet.Config{}, err
		}
	}
	c := unet.Config{
		Family: unet.FamilyClassic, InChannels: s.in, OutChannels: s.out, Channels: s.channels,
		Multipliers: s.multipliers, Blocks: s.blocks, Attention: []int{},
	}
	if s.ddpm {
		c.Family = unet.FamilyDDPM
	}
	if err := im.hidden(&c); err != nil {
		return unet.Config{}, err
	}
	if err := im.attention(&c); err != nil {
		return unet.Config{}, err
	}
	c = c.Resolved()
	return c, checkShapes(c, shapes)
}

// hidden fills in norm_groups, dropout and image_size.
func (im *importer) hidden(c *unet.Config) error {
	groups, dropout, size := im.opts.Groups, im.opts.Dropout, im.opts.ImageSize
	if f := im.config; f != nil {
		if f.groupsNull && groups == nil {
			n := defaultForeignGroups
			groups = &n
			im.note("norm_groups %d, the default of the PyTorch implementation, since the configuration does not give it", n)
		}
		groups, dropout, size = or(groups, f.groups), or(dropout, f.dropout), or(size, f.imageSize)
	}
	if k := im.layout; k != nil && (groups == nil || dropout == nil || size == nil) {
		groups, dropout, size = or(groups, &k.groups), or(dropout, &k.dropout), or(size, &k.imageSize)
		im.note("known layout %s: norm_groups %d, dropout %g, image_size %d", k.name, *groups, *dropout, *size)
	}
	var missing []string
	for _, f := range []struct {
		name string
		nil  bool
	}{{"norm_groups", groups == nil}, {"dropout", dropout == nil}, {"image_size", size == nil}} {
		if f.nil {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s cannot be told from the weights, and this is none of the known layouts (16_128, 64_512, sample_128): "+
			"give the training configuration with --config, or --norm-groups, --dropout and --image-size", strings.Join(missing, ", "))
	}
	c.Groups, c.Dropout, c.ImageSize = *groups, *dropout, *size
	return nil
}

func or[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// attention turns levels into resolutions, which needs the image size.
func (im *importer) attention(c *unet.Config) error {
	for _, level := range im.structure.attention {
		c.Attention = append(c.Attention, c.ImageSize>>level)
	}
	if im.config == nil || im.config.attention == nil {
		return nil
	}
	for level := range c.Multipliers {
		resolution := c.ImageSize >> level
		there, said := slices.Contains(im.structure.attention, level), slices.Contains(*im.config.attention, resolution)
		where := im.structure.evidence[fmt.Sprintf("attention %d", level)]
		if there && !said {
			return fmt.Errorf("%s%s has attention: attn_res would contain %d (with image_size %d), the configuration says %v",
				networkPrefix, where, resolution, c.ImageSize, *im.config.attention)
		}
		if !there && said {
			return fmt.Errorf("%s%s has no attention: attn_res would not contain %d (with image_size %d), the configuration says %v",
				networkPrefix, where, resolution, c.ImageSize, *im.config.attention)
		}
	}
	return nil
}

func (im *importer) scale() int {
	switch {
	case im.opts.Scale != 0:
		return im.opts.Scale
	case im.structure.in == im.structure.out:
		return 1
	case im.config != nil && im.config.scale != 0:
		return im.config.scale
	case im.layout != nil:
		return im.layout.scale
	}
	im.note("the scale cannot be told from the weights and is left open; give it with --scale")
	return 0
}

// compare checks the configuration against the file.
func (f *foreignConfig) compare(s structure) error {
	which := "sr3"
	if s.ddpm {
		which = "ddpm"
	}
	if f.which != "" && f.which != which {
		return fmt.Errorf("parameter %s%s is there: which_model_G would be %q, the configuration says %q",
			networkPrefix, s.evidence["which_model_G"], which, f.which)
	}
	differ := func(setting string, said *int, found int) error {
		if said == nil || *said == found {
			return nil
		}
		return fmt.Errorf("parameter %s%s does not fit: %s would be %d, the configuration says %d",
			networkPrefix, s.evidence[setting], setting, found, *said)
	}
	for _, err := range []error{
		differ("in_channel", f.in, s.in), differ("inner_channel", f.channels, s.channels),
		differ("res_blocks", f.blocks, s.blocks),
	} {
		if err != nil {
			return err
		}
	}
	if f.multipliers != nil {
		for i := range min(len(f.multipliers), len(s.multipliers)) {
			setting := fmt.Sprintf("channel_multiplier[%d]", i)
			if f.multipliers[i] != s.multipliers[i] {
				return fmt.Errorf("parameter %s%s has %d channels: %s would be %d, the configuration says %d",
					networkPrefix, s.evidence[setting], s.channels*s.multipliers[i], setting, s.multipliers[i], f.multipliers[i])
			}
		}
		if len(f.multipliers) != len(s.multipliers) {
			return fmt.Errorf("the file has %d levels: channel_multiplier would be %v, the configuration says %v",
				len(s.multipliers), s.multipliers, f.multipliers)
		}
	}
	return differ("out_channel", f.out, s.out)
}

// checkShapes compares every parameter of the network with the file, in the
// order in which PyTorch registers them.
func checkShapes(c unet.Config, shapes map[string][]int) error {
	params, err := unet.Parameters(c)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(params))
	for _, p := range params {
		known[p.Name] = true
		want := foreignShape(p.Shape)
		got, ok := shapes[p.Name]
		if !ok {
			return fmt.Errorf("parameter %s%s of shape %v is missing; the file is incomplete, or not of this network: %s",
				networkPrefix, p.Name, want, describeNetwork(c))
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("parameter %s%s has shape %v, want %v in this network: %s", networkPrefix, p.Name, got, want, describeNetwork(c))
		}
	}
	for _, name := range sortedKeys(shapes) {
		if !known[name] {
			return fmt.Errorf("entry %q is no part of this network: %s", name, describeNetwork(c))
		}
	}
	return nil
}

// describeNetwork gives the settings in the words of the training configuration.
func describeNetwork(c unet.Config) string {
	return fmt.Sprintf("in_channel %d, out_channel %d, inner_channel %d, channel_multiplier %v, res_blocks %d, attn_res %v, image_size %d",
		c.InChannels, c.OutChannels, c.Channels, c.Multipliers, c.Blocks, c.Attention, c.ImageSize)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// weights converts the parameters, freeing each tensor as it goes.
func (im *importer) weights(c unet.Config, tensors map[string]*checkpoint.Tensor) (map[string][]float32, error) {
	params, err := unet.Parameters(c)
	if err != nil {
		return nil, err
	}
	if n := unet.Count(params); n != im.report.Parameters {
		return nil, fmt.Errorf("%d parameters in the file, %d in the network", im.report.Parameters, n)
	}
	out := make(map[string][]float32, len(params))
	for _, p := range params {
		values, err := nativeValues(p, tensors[p.Name])
		if err != nil {
			return nil, err
		}
		out[p.Name] = values
		delete(tensors, p.Name)
	}
	return out, nil
}

// nativeValues converts a tensor in PyTorch's layout to the values of p.
func nativeValues(p unet.Param, t *checkpoint.Tensor) ([]float32, error) {
	values, err := t.Float32s()
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
	}
	shape, values, err := ToNative(p.Name, t.Shape, values)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(shape, p.Shape) {
		return nil, fmt.Errorf("parameter %s has shape %v, want %v", p.Name, t.Shape, foreignShape(p.Shape))
	}
	return values, checkFinite(p.Name, values)
}
