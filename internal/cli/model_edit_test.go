package cli

import (
	"strings"
	"testing"

	"github.com/sr3-go/sr3/model"
)

func TestEditConfig(t *testing.T) {
	m, err := model.Load("../../testdata/untrained-x4.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	c, err := editConfig(m.Config, []string{"inference.steps=7", "inference.schedule.kind=logsnr",
		"inference.schedule.gamma_max=0.98", "licence=CC BY-SA 4.0", "name=other"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Inference.Steps != 7 || c.Inference.Schedule.GammaMax != 0.98 || c.Licence != "CC BY-SA 4.0" || c.Name != "other" {
		t.Errorf("the changes are not there: %+v", c)
	}
	for set, want := range map[string]string{
		"inference.stepz=7":     "stepz",
		"inference.steps=-1":    "steps",
		"inference.steps":       "key=value",
		"name.first=a":          "not a section",
		"inference.sampler=ode": "ode",
		"network.groups=0.5":    "groups",
	} {
		if _, err := editConfig(m.Config, []string{set}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v; want an error that names %s", set, err, want)
		}
	}
}
