package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
)

func newSchedule(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Show or search the noise levels that a model refines through",
		Long: `A refinement goes from noise to image through a list of noise levels, its inference
noise schedule. It is free after training, and with few steps it matters much: where
the levels lie, which sampler goes from one to the next, at which level the last
step jumps to the clean image.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("schedule has no command %q; it has show and search", args[0])
		},
	}
	cmd.AddCommand(newScheduleShow(s), newScheduleSearch(s))
	return cmd
}

// scheduleShow is the command line of "sr3 schedule show".
type scheduleShow struct {
	steps             int
	sampler, schedule string
	modelsDir         string
	json              bool
}

func newScheduleShow(s *streams) *cobra.Command {
	f := &scheduleShow{}
	cmd := &cobra.Command{
		Use:   "show MODEL",
		Short: "Print the noise levels of a refinement",
		Long: `show prints the levels in the order in which a refinement visits them:

  gamma     share of the image's variance that is left: 0 is noise, 1 the clean image
  log-SNR   ln(gamma/(1-gamma)), the measure in which even steps are even work
  noise     deviation of the noise, in grey levels of 255 if images are diffused
            themselves; of a model that diffuses residuals, divided by their factor,
            and where that adapts to the image, in areas of the highest contrast

A model that stores levels for 10 steps runs any other number through levels in
between: log-SNR is interpolated over the index, the first and the last level stay.`,
		Example: `  sr3 schedule show photo-x4
  sr3 schedule show photo-x4 --steps 20
  sr3 schedule show photo-x4 --steps 100 --schedule logsnr --json`,
		Args: nArgs(1, "one model"),
		RunE: func(_ *cobra.Command, args []string) error { return f.run(s, args[0]) },
	}
	fl := cmd.Flags()
	fl.IntVar(&f.steps, "steps", 0, "number of steps (default: the model's)")
	fl.StringVar(&f.sampler, "sampler", "", "sampler, which decides on the number of calls (default: the model's)")
	fl.StringVar(&f.schedule, "schedule", "", "paper, training or logsnr (default: the model's)")
	addModelsDir(fl, &f.modelsDir)
	fl.BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

// scheduleDescription is the JSON of "sr3 schedule show".
type scheduleDescription struct {
	Model       string          `json:"model"`
	Sampler     string          `json:"sampler"`
	Schedule    string          `json:"schedule"`
	Steps       int             `json:"steps"`
	Calls       int             `json:"calls"`
	Eta         float64         `json:"eta"`
	Temperature float64         `json:"temperature"`
	Levels      []scheduleLevel `json:"levels"` // noisiest first
}

type scheduleLevel struct {
	Gamma      float64 `json:"gamma"`
	LogSNR     float64 `json:"log_snr"`
	GreyLevels float64 `json:"grey_levels"`
}

func (f *scheduleShow) run(s *streams, name string) error {
	o := upscaleFlags{}
	o.options.Sampler, o.options.Schedule = f.sampler, f.schedule
	if err := checkRefinement(&o.options); err != nil {
		return err
	}
	if f.steps < 0 {
		return usagef("--steps %d: want a positive number", f.steps)
	}
	m, err := openModel(name, f.modelsDir)
	if err != nil {
		return err
	}
	d, err := f.describe(m)
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(s.out, d)
	}
	printSchedule(s, d)
	return nil
}

// describe lists the levels that a refinement would visit.
func (f *scheduleShow) describe(m *model.Model) (scheduleDescription, error) {
	c := m.Config
	if f.steps != 0 {
		c.Inference.Steps = f.steps
	}
	if f.schedule != "" && f.schedule != c.Inference.Schedule.Kind {
		c.Inference.Schedule = refine.Schedule{Kind: f.schedule}
	}
	o, err := c.RefineOptions()
	if err != nil {
		return scheduleDescription{}, err
	}
	if f.sampler != "" {
		o.Sampler = f.sampler
	}
	candidate, err := refine.CandidateOf(o)
	if err != nil {
		return scheduleDescription{}, err
	}
	d := scheduleDescription{
		Model: c.Name, Sampler: candidate.Sampler, Schedule: c.Inference.Schedule.Kind, Steps: len(candidate.Gammas), Calls: candidate.Calls(),
		Eta: candidate.Eta, Temperature: candidate.Temperature,
	}
	for i := len(candidate.Gammas) - 1; i >= 0; i-- {
		g := diffusion.Gamma(candidate.Gammas[i])
		// Noise beside an image of full contrast, in [-1, 1].
		noise := g.Sigma() / g.Alpha() * 127.5
		if c.Diffusion.Residual != 0 {
			noise *= c.Diffusion.Adaptive.Largest() / c.Diffusion.Residual
		}
		d.Levels = append(d.Levels, scheduleLevel{float64(g), max(g.LogSNR(), -1e9), min(noise, 1e9)})
	}
	return d, nil
}

// printSchedule writes a table with a bar for each level.
func printSchedule(s *streams, d scheduleDescription) {
	fmt.Fprintf(s.out, "%s: %s, %d steps, %d calls of the network, schedule %s", d.Model, d.Sampler, d.Steps, d.Calls, d.Schedule)
	fmt.Fprintf(s.out, ", eta %g, temperature %g\n\n", d.Eta, d.Temperature)
	const low, high, width = -12.0, 12.0, 48
	fmt.Fprintf(s.out, "%4s  %-10s  %8s  %9s  %-*s\n", "step", "gamma", "log-SNR", "noise", width+1, fmt.Sprintf("noise%*s", width-4, "clean"))
	for i, l := range d.Levels {
		at := int((min(max(l.LogSNR, low), high)-low)/(high-low)*width + 0.5)
		bar := []byte(strings.Repeat(".", width+1))
		bar[at] = 'o'
		fmt.Fprintf(s.out, "%4d  %-10.6g  %8.3f  %9.4g  %s\n", i+1, l.Gamma, l.LogSNR, l.GreyLevels, bar)
	}
}
