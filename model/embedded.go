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
)

// DefaultName is the model that is used when none is named.
const DefaultName = "photo-x4"

const (
	// directoryVariable is the environment variable that sets [Directory].
	directoryVariable = "SR3_MODELS"
	extension         = ".safetensors"
)

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

// Directory returns the folder in which models are looked up by name: the value
// of SR3_MODELS, or "sr3/models" in the user's configuration folder. It need not
// exist, and is empty where the user has no such folder.
func Directory() string {
	if dir := os.Getenv(directoryVariable); dir != "" {
		return dir
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "sr3", "models")
}

// Installed returns the names of the models in [Directory], sorted.
func Installed() []string { return NamesIn(Directory()) }

// NamesIn returns the names of the models in a folder, sorted; none if it cannot be
// read.
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
// NAME.safetensors in [Directory], then a file of that path. An empty name
// means [DefaultName]. The error for an unknown name lists the known ones.
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
	if slices.Contains(Installed(), name) {
		return Load(filepath.Join(Directory(), name+extension))
	}
	if _, err := os.Stat(name); err == nil {
		return openPath(name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open model: %w", err)
	}
	return nil, fmt.Errorf("open model %q: neither a known model nor a file; %s", name, known())
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
	return fmt.Sprintf("built in: %s; in %s: %s", list(Embedded()), Directory(), list(Installed()))
}
