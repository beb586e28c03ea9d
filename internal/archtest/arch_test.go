package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sr3-go/sr3"

// walls says what a package and those below it may not import, and why. Keys are
// directories, "" is the facade alone; values are path prefixes.
var walls = map[string]struct {
	banned []string
	why    string
}{
	"diffusion":      {[]string{module + "/unet", module + "/internal/graph", module + "/internal/cpu", module + "/imageio"}, "the diffusion process is tested with closed-form denoisers and knows no network and no image"},
	"refine":         {[]string{module + "/unet", module + "/internal/graph", module + "/internal/cpu", module + "/imageio"}, "samplers ask a Denoiser and know nothing else"},
	"internal/graph": {[]string{module + "/internal/cpu", module + "/unet"}, "graphs know no executor and no network"},
	"internal/cpu":   {[]string{module + "/unet", module + "/diffusion", module + "/model"}, "executors run graphs and know no network"},
	"unet":           {[]string{module + "/model", module + "/checkpoint", module + "/train"}, "networks know no files"},
	"imageio":        {[]string{module + "/unet", module + "/diffusion", module + "/internal/graph"}, "files know no networks"},
	"resample":       {[]string{module + "/imageio", module + "/unet"}, "resampling works on plain slices"},
	"baseline":       {[]string{module + "/internal/eval", module + "/internal/cli", module + "/train"}, "methods know nothing of what measures them"},
	"jobs":           {[]string{module + "/upscale", module + "/worker", module + "/server", module + "/imageio"}, "the queue knows no images and nothing of who fills and empties it"},
	"worker":         {[]string{module + "/server", module + "/web", "github.com/nats-io"}, "work is the same behind any queue and without HTTP"},
	"foolrate":       {[]string{module + "/study", module + "/imageio", "net/http", "os"}, "the arithmetic of studies knows no files, no images and no network"},
	"study":          {[]string{module + "/internal/cli", module + "/baseline", module + "/unet", module + "/upscale"}, "a study shows images and does not make them"},
	"metric":         {[]string{module + "/imageio", module + "/train"}, "metrics work on plain slices and graphs"},
}

// bannedEverywhere are imports that only the program's edge may have.
var bannedEverywhere = map[string][]string{
	"github.com/spf13/cobra": {"internal/cli", "cmd"},
	module + "/internal/cli": {"cmd", "internal/cli"},
	"math/rand":              {},                                                // randomness comes from counters, so that it can be repeated
	"math/rand/v2":           {"internal/graph/graphtest", "internal/runfiles"}, // cases of tests, names of temporary files
	"unsafe":                 {"internal/cpu/kernel"},
}

// maxLines is the hard limit of a file that people wrote.
const maxLines = 700

type source struct {
	dir, path string
	file      *ast.File
	lines     int
	generated bool
	test      bool
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for dir, wall := range walls {
				if !s.test && within(s.dir, dir) && slices.ContainsFunc(wall.banned, func(b string) bool { return path == b || strings.HasPrefix(path, b+"/") }) {
					t.Errorf("%s imports %s: %s", s.path, path, wall.why)
				}
			}
			allowed, banned := bannedEverywhere[path]
			if banned && !s.test && !slices.ContainsFunc(allowed, func(dir string) bool { return within(s.dir, dir) }) {
				t.Errorf("%s imports %s, which only %v may", s.path, path, allowed)
			}
		}
	}
}

func TestEveryPackageHasOneDoc(t *testing.T) {
	docs := map[string][]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if docs[s.dir] == nil {
			docs[s.dir] = []string{}
		}
		if s.file.Doc != nil && !s.generated {
			docs[s.dir] = append(docs[s.dir], s.path)
		}
	}
	for dir, files := range docs {
		if len(files) != 1 {
			t.Errorf("package in %q has %d package comments %v, not one", dir, len(files), files)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxLines && !s.generated {
			t.Errorf("%s has %d lines, more than %d: split it", s.path, s.lines, maxLines)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.generated || s.file.Name.Name == "main" {
			continue
		}
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && receiverExported(d) && !wellKnown[d.Name.Name] {
					t.Errorf("%s: %s has no comment", s.path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if name := undocumented(d, spec); name != "" {
						t.Errorf("%s: %s has no comment", s.path, name)
					}
				}
			}
		}
	}
}

// wellKnown methods say what they do by implementing the standard library's
// interfaces.
var wellKnown = map[string]bool{"Error": true, "String": true, "Unwrap": true, "Read": true, "Write": true, "Close": true,
	"Len": true, "Less": true, "Swap": true, "MarshalText": true, "UnmarshalText": true}

func undocumented(d *ast.GenDecl, spec ast.Spec) string {
	switch v := spec.(type) {
	case *ast.TypeSpec:
		if v.Name.IsExported() && v.Doc == nil && d.Doc == nil {
			return v.Name.Name
		}
	case *ast.ValueSpec:
		if v.Names[0].IsExported() && v.Doc == nil && v.Comment == nil && d.Doc == nil {
			return v.Names[0].Name
		}
	}
	return ""
}

// receiverExported reports whether a function, or the type it is a method of, can
// be seen from outside.
func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// sources parses every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	root := "../.."
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "runs") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, path, data, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		dir := filepath.ToSlash(filepath.Dir(rel))
		out = append(out, source{dir: dir, path: rel, file: file, lines: strings.Count(string(data), "\n"),
			generated: ast.IsGenerated(file), test: strings.HasSuffix(name, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
