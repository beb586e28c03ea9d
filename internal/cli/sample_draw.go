package cli

import (
	"cmp"
	"context"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/cascade"
	"github.com/sr3-go/sr3/upscale"
)

// drawer is where draws come from: a model that enlarges images, or an
// unconditional one with those that enlarge what it makes.
type drawer struct {
	generator *upscale.Generator // nil for images
	enlarger  *sr3.Upscaler      // nil where nothing follows the generator
	first     sr3.Options        // of the generator
	models    int                // the generator and those after it
	plain     bool               // the enlarger refines nothing: it takes no seed
}

// source opens the models.
func (f *sampleFlags) source() (*drawer, error) {
	if len(f.inputs) > 0 {
		up, err := f.open()
		if err != nil {
			return nil, err
		}
		check := up.Check
		if f.count > 1 { // as many seeds, which a regression does not take
			check = func(o sr3.Options) error { return up.CheckSamples(o, f.count) }
		}
		if err := check(f.options); err != nil {
			return nil, usagef("%w", err)
		}
		return &drawer{enlarger: up}, nil
	}
	return f.generator()
}

// generator opens an unconditional model and those that enlarge what it makes.
func (f *sampleFlags) generator() (*drawer, error) {
	c, err := cascade.Parse(f.model)
	if err != nil {
		return nil, err
	}
	m, err := openModel(c.Stages[0].Model, f.modelsDir)
	if err != nil {
		return nil, err
	}
	d := &drawer{}
	if d.generator, err = upscale.NewGenerator(m); err != nil {
		return nil, usagef("%w; give it an image, or -n an unconditional model", err)
	}
	if err := f.spread(c); err != nil {
		return nil, err
	}
	side := cmp.Or(f.size, m.Config.Network.ImageSize)
	d.first, d.models = c.Stages[0].Apply(f.options), len(c.Stages)
	d.first.Width, d.first.Height, d.first.Scale = side, side, 0
	if err := d.generator.Check(d.first); err != nil {
		return d, usagef("%w", err)
	}
	if c.Stages = c.Stages[1:]; len(c.Stages) == 0 {
		if f.options.Scale > 0 {
			return d, usagef("--scale is for what enlarges; %s makes images from noise: see --size", f.model)
		}
		return d, nil
	}
	if d.enlarger, err = sr3.OpenCascade(c, f.finder()); err != nil {
		return d, err
	}
	d.plain = d.enlarger.Check(sr3.Options{Seed: 1}) != nil
	o := d.rest(f.options)
	err = d.enlarger.Check(o)
	if err == nil {
		_, _, err = d.enlarger.ResultSize(side, side, o)
	}
	if err != nil {
		return d, usagef("%w", err)
	}
	return d, nil
}

// rest are the options of what enlarges. Where nothing of it refines, settings of refinement are the generator's alone.
func (d *drawer) rest(o sr3.Options) sr3.Options {
	if d.plain {
		o.Steps, o.Sampler, o.Schedule, o.Variance, o.Eta, o.Temperature, o.Seed = 0, "", "", "", 0, 0, 0
	}
	return o
}

func (d *drawer) close() {
	if d.generator != nil {
		d.generator.Close()
	}
	if d.enlarger != nil {
		d.enlarger.Close()
	}
}

// draw makes one draw of an image, or of noise where that is nil. tell hears the share that is done; of several models
// each counts as much.
func (d *drawer) draw(ctx context.Context, img *sr3.Image, o sr3.Options, tell func(share float64)) (*sr3.Image, error) {
	o.OnWindow = func(p upscale.Progress) { tell(p.Share()) }
	if img != nil {
		return d.enlarger.Upscale(ctx, img, o)
	}
	first, part := d.first, 1/float64(d.models)
	first.Seed, first.OnStep = o.Seed, o.OnStep
	if d.enlarger != nil {
		first.OnStep = nil // a film shows the last model
	}
	first.OnWindow = func(p upscale.Progress) { tell(part * p.Share()) }
	o.OnWindow = func(p upscale.Progress) { tell(part + (1-part)*p.Share()) }
	img, report, err := d.generator.Generate(ctx, first)
	if err != nil {
		return nil, err
	}
	if d.enlarger == nil {
		return img, sr3.StoreReport(img, report)
	}
	o.PassesBefore = report.Passes
	img, err = d.enlarger.Upscale(ctx, img, d.rest(o))
	if err != nil {
		return nil, err
	}
	if made, ok := sr3.ReportOf(img); ok {
		return img, sr3.StoreReport(img, made.After(report))
	}
	return img, nil
}
