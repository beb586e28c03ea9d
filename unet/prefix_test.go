package unet

import (
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
)

// TestPrefixKeepsNetworksApart: two networks in a graph share variables unless their prefixes differ, and the second
// computes with its own.
func TestPrefixKeepsNetworksApart(t *testing.T) {
	cfg := smallLean()
	params, err := Parameters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g, in := inputs(cfg, 1, 8, 8, 1)
	build := func(prefix string) *graph.Node {
		in.Prefix = prefix
		out, err := Build(g, cfg, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	one, same, other := build(""), build(""), build("other/")
	if got := len(variables(g)); got != 2*len(params) {
		t.Fatalf("%d variables, want two networks of %d", got, len(params))
	}
	weights := randomWeights(t, cfg)
	for _, p := range params {
		weights["other/"+p.Name] = weights[p.Name]
	}
	for _, n := range variables(g) {
		label := n.Op.(*graph.Variable).Label
		name := strings.TrimPrefix(label, "other/")
		if !slices.ContainsFunc(params, func(p Param) bool { return p.Name == name }) {
			t.Errorf("variable %s", label)
		}
	}
	bias := make([]float64, len(weights["head.conv.bias"]))
	for i, v := range weights["head.conv.bias"] {
		bias[i] = v + 1
	}
	weights["other/head.conv.bias"] = bias
	net := newMachine(g, one, weights)
	net.randomInputs()
	net.m.Run(one, same, other)
	a, b, c := net.m.Value(one), net.m.Value(same), net.m.Value(other)
	for i := range a {
		if a[i] != b[i] || c[i]-a[i] < 1-1e-9 || c[i]-a[i] > 1+1e-9 {
			t.Fatalf("element %d: %v, %v with the same variables, %v with a bias that is larger by 1", i, a[i], b[i], c[i])
		}
	}
}
