package model

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/unet"
)

func toldConfig(t *testing.T) Config {
	t.Helper()
	net := unet.Config{
		Family: unet.FamilyLean, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1}, Blocks: 1,
		ImageSize: 16, Groups: 2, FiLM: true, NoMiddleAttention: true,
	}
	m, err := Untrained("told", net, 4, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Config
	c.Network.AugmentLevels = degrade.Levels
	c.Condition.Degradation = &degrade.Settings{Noise: degrade.Range{Probability: 0.5, Low: 1, High: 20}, JPEG: degrade.Range{Probability: 0.3, Low: 41, High: 95}}
	return c
}

// TestConditionRoundTrips: what a told model says survives its file, and a clean one's file has no word of it.
func TestConditionRoundTrips(t *testing.T) {
	c := toldConfig(t)
	c.Condition.AssumedBlur = 0.4
	c.Condition.Blur = &degrade.Range{Probability: 0.5, Low: 0.4, High: 0.6}
	text, err := marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseConfig(text)
	if err != nil || !cmp.Equal(c, back) {
		t.Errorf("read back: %v\n%s", err, cmp.Diff(c, back))
	}
	c.Network.AugmentLevels, c.Condition = 0, Condition{Quantised8: true}
	if text, err = marshal(c); err != nil {
		t.Fatal(err)
	}
	var tree map[string]json.RawMessage
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	if string(tree["condition"]) != `{"quantised8":true}` || strings.Contains(string(text), "augment") {
		t.Errorf("a clean model's file says %s", text)
	}
}

func TestConditionIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"augment_levels = 2":       func(c *Config) { c.Network.AugmentLevels = 2 },
		"that they tell of":        func(c *Config) { c.Condition.Degradation = nil },
		"above 0; leave it out":    func(c *Config) { c.Condition.Degradation = &degrade.Settings{} },
		"noise.low":                func(c *Config) { c.Condition.Degradation.Noise.Low = 50 },
		"blur.high":                func(c *Config) { c.Condition.Blur = &degrade.Range{Probability: 1, High: 100} },
		"assumed_blur = 9":         func(c *Config) { c.Condition.AssumedBlur = 9 },
		"not told of blur; want 0": func(c *Config) { c.Network.AugmentLevels, c.Condition.AssumedBlur = 0, 1 },
	} {
		c := toldConfig(t)
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestConditionInWords(t *testing.T) {
	c := toldConfig(t)
	if got, want := c.Condition.Inputs(), "bicubic reductions with noise up to 20/255, JPEG of quality from 41"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (Condition{}).Inputs(), "clean bicubic reductions alone"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := c.Levels(degrade.Amount{Noise: 10, Quality: 71}); !cmp.Equal(got, []float32{0, 0.5, 0.5}) {
		t.Errorf("levels %v", got)
	}
	c.Network.AugmentLevels = 0
	if got := c.Levels(degrade.Amount{Noise: 10}); got != nil {
		t.Errorf("levels %v of a network without", got)
	}
}
