package main

import (
	"slices"

	"github.com/mmcloughlin/avo/reg"
)

// emitAdam writes the optimiser step without and with the moving average of
// the weights.
func emitAdam(v *vector) {
	const scalars = "gscale, b1, omb1, b2, omb2, rc2, eps, step float32"
	for _, ema := range []bool{false, true} {
		s := map[string]reg.VecVirtual{}
		names := []string{"gscale", "b1", "omb1", "b2", "omb2", "rc2", "eps", "step"}
		k := pointwise{
			name: "adam", signature: "func(p, g, m, v []float32, " + scalars + ")",
			doc: "one step of Adam; see refAdam.",
			in:  []string{"p", "g", "m", "v"}, out: []string{"m", "v", "p"}, unroll: 1,
		}
		if ema {
			names = append(names, "decay", "omd")
			k.name, k.doc = "adamEMA", "one step of Adam with the average of the weights; see refAdam."
			k.signature = "func(p, g, m, v, ema []float32, " + scalars + ", decay, omd float32)"
			k.in, k.out = slices.Concat(k.in, []string{"ema"}), slices.Concat(k.out, []string{"ema"})
		}
		k.setup = func(v *vector) {
			for _, name := range names {
				s[name] = v.scalar(name)
			}
		}
		k.body = func(v *vector, x lane) {
			g := x["g"]
			v.VMULPS(s["gscale"], g, g)
			v.VMULPS(s["b1"], x["m"], x["m"])
			v.VFMADD231PS(g, s["omb1"], x["m"])
			v.VMULPS(s["b2"], x["v"], x["v"])
			t := v.new()
			v.VMULPS(g, s["omb2"], t)
			v.VFMADD231PS(t, g, x["v"])
			v.VSQRTPS(x["v"], t)
			v.VFMADD213PS(s["eps"], s["rc2"], t)
			v.VDIVPS(t, x["m"], t)
			v.VFNMADD231PS(t, s["step"], x["p"])
			if ema {
				v.VMULPS(s["decay"], x["ema"], x["ema"])
				v.VFMADD231PS(x["p"], s["omd"], x["ema"])
			}
		}
		k.emit(v)
	}
}
