// Command _gen writes the assembly of package kernel, its Go declarations and
// the tables that choose between them. Run it through go generate in the
// package directory; running it twice writes the same bytes.
//
// One file of this program is one family of kernels: gemm.go the matrix tile,
// pointwise.go the elementwise ones, trig.go sine and cosine, dropout.go the
// random masks, transpose.go the turning of matrices, rows.go those that walk rows
// of channels, reduce.go the sums, adam.go the optimiser step, winograd.go the
// transforms of fast convolution, prefetch.go the cache, half.go the float16
// conversions. vector.go and expo.go hold what they share.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// unit is one generated assembly file and, when stubs is set, the Go file that
// declares its functions.
type unit struct {
	name  string
	stubs bool
	emit  func(*build.Context)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: _gen DIRECTORY (that of package kernel)")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(out string) error {
	units := []unit{
		{"gemm_avx512", false, func(c *build.Context) { emitGemm(c, gemmAVX512) }},
		{"gemm_avx2", false, func(c *build.Context) { emitGemm(c, gemmAVX2) }},
		{"pointwise", true, func(c *build.Context) { emitBoth(c, emitPointwise) }},
		{"trig", true, func(c *build.Context) { emitBoth(c, emitTrig) }},
		{"dropout", true, func(c *build.Context) { emitBoth(c, emitDropout) }},
		{"transpose", true, func(c *build.Context) { emitBoth(c, emitTranspose) }},
		{"rows", true, func(c *build.Context) { emitBoth(c, emitRows) }},
		{"column_sums", true, func(c *build.Context) { emitBoth(c, emitColumnSums) }},
		{"sums", true, func(c *build.Context) { emitBoth(c, emitSums) }},
		{"adam", true, func(c *build.Context) { emitBoth(c, emitAdam) }},
		{"winograd", true, func(c *build.Context) { emitBoth(c, emitWinograd) }},
		{"prefetch", true, emitPrefetch},
		{"half", true, func(c *build.Context) { emitBoth(c, emitHalf) }},
	}
	for _, u := range units {
		if err := write(out, u); err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
	}
	return writeGemmDispatch(filepath.Join(out, "gemm_dispatch_amd64.go"))
}

// write compiles one unit and writes its files.
func write(out string, u unit) error {
	ctx := build.NewContext()
	ctx.ConstraintExpr("!noasm")
	u.emit(ctx)
	file, err := ctx.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	cfg := printer.Config{Name: "_gen", Pkg: "kernel"}
	text, err := printer.NewGoAsm(cfg).Print(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, u.name+"_amd64.s"), text, 0o644); err != nil {
		return err
	}
	if !u.stubs {
		return nil
	}
	text, err = printer.NewStubs(cfg).Print(file)
	if err != nil {
		return err
	}
	return writeGo(filepath.Join(out, u.name+"_amd64.go"), text)
}

// writeGo formats and writes Go source.
func writeGo(path string, text []byte) error {
	text, err := format.Source(bytes.TrimSpace(text))
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
