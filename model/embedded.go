package model

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
)

// DefaultName is the model that is used when none is named.
const DefaultName = "photo-x4"

const (
	// directoryVariable is the environment variable that sets [Directories].
	directoryVariable = "SR3_MODELS"
	extension         = ".safetensors"
	// localFolder is looked into though nobody named it, so what lies there may belong to
	// other programs.
	localFolder = "models"
)

// ErrUnknown means that no model and no file has the name that was given to [Open].
var ErrUnknown = errors.New("neither a known model nor a file")

// weightFiles are the models that are built in. The folder also has a README,
// so that it is never empty.
//
//go:embed weights
var weightFiles embed.FS

// Embedded returns the names of the models that are built into the binary, sorted.
func Embedded() []string {
	entries, err := fs.ReadDir(weightFiles, "weights")
	if err != nil {
		return nil
	}
	return modelNames(entries)
}

// Directories returns the folders in which models are looked up by name, the first
// before the others: those of SR3_MODELS, a list as in PATH, or else "sr3/models" in
// the user's configuration folder and "models" in the current one. They need not
// exist. In the last, which nobody named, only files count that are models by
// [IsModel]; in the others every .safetensors file does.
func Directories() []string {
	var list []string
	for _, f := range folders() {
		list = append(list, f.dir)
	}
	return list
}

// folder is one of [Directories].
type folder struct {
	dir string
	own bool // all models in it are meant to be models of this program
}

func folders() []folder {
	var list []folder
	for _, dir := range filepath.SplitList(os.Getenv(directoryVariable)) {
		list = append(list, folder{dir, true})
	}
	if len(list) > 0 {
		return list
	}
	if dir, err := os.UserConfigDir(); err == nil {
		list = append(list, folder{filepath.Join(dir, "sr3", "models"), true})
	}
	return append(list, folder{localFolder, false})
}

// has reports whether a name, which is that of a file in f, counts as a model's.
func (f folder) has(name string) bool {
	if f.own {
		return true
	}
	ok, err := IsModel(f.file(name))
	return ok && err == nil
}

func (f folder) file(name string) string { return filepath.Join(f.dir, name+extension) }

// IsModel reports whether a file says in its header that it is a model; whether it is
// whole [Load] finds out. The error is that of a file which cannot be read.
func IsModel(path string) (bool, error) {
	meta, err := checkpoint.ReadMeta(path)
	if pe := new(fs.PathError); errors.As(err, &pe) {
		return false, err
	}
	_, ok := meta[ConfigKey] // nothing in what is no safetensors file
	return ok, nil
}

// Installed returns the names of the models in [Directories], sorted.
func Installed() []string {
	var names []string
	for _, f := range folders() {
		for _, name := range NamesIn(f.dir) {
			if f.has(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Find returns the file of the model of that name in [Directories]; empty if there is
// none.
func Find(name string) string {
	for _, f := range folders() {
		if slices.Contains(NamesIn(f.dir), name) && f.has(name) {
			return f.file(name)
		}
	}
	return ""
}

// NamesIn returns the names of the .safetensors files in a folder, sorted; none if it
// cannot be read.
func NamesIn(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	return modelNames(entries)
}

func modelNames(entries []fs.DirEntry) []string {
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), extension); ok && !e.IsDir() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Open loads a model by name or path: first the models built in, then
// NAME.safetensors in [Directories], then a file of that path. An empty name
// means [DefaultName]. The error for an unknown name is [ErrUnknown] and lists the
// known ones.
func Open(nameOrPath string) (*Model, error) {
	name := nameOrPath
	if name == "" {
		name = DefaultName
	}
	if slices.Contains(Embedded(), name) {
		data, err := weightFiles.ReadFile("weights/" + name + extension)
		if err != nil {
			return nil, fmt.Errorf("open model %s: %w", name, err)
		}
		return Decode("embedded "+name, bytes.NewReader(data), int64(len(data)))
	}
	if file := Find(name); file != "" {
		return Load(file)
	}
	if _, err := os.Stat(name); err == nil {
		return openPath(name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open model: %w", err)
	}
	for _, f := range folders() {
		if slices.Contains(NamesIn(f.dir), name) {
			return Load(f.file(name)) // no model; the error says why
		}
	}
	return nil, fmt.Errorf("open model %q: %w; %s", name, ErrUnknown, known())
}

// openPath loads a file, and says what to do with one of PyTorch.
func openPath(path string) (*Model, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".pth", ".pt", ".ckpt":
		return nil, fmt.Errorf("open model %s: this is a PyTorch checkpoint; import it first: sr3 model import %s -o %s",
			path, path, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))+extension)
	}
	return Load(path)
}

// known lists the models for an error.
func known() string {
	list := func(names []string) string {
		if len(names) == 0 {
			return "none"
		}
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("built in: %s; in %s: %s", list(Embedded()), strings.Join(Directories(), " or "), list(Installed()))
}
