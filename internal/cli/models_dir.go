package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sr3-go/sr3/model"
)

// modelsDirFlag is -m: a folder, which must be there.
type modelsDirFlag struct{ dir *string }

func (f modelsDirFlag) String() string {
	if f.dir == nil {
		return ""
	}
	return *f.dir
}

func (modelsDirFlag) Type() string { return "folder" }

func (f modelsDirFlag) Set(s string) error {
	if s != "" {
		if _, err := os.ReadDir(s); err != nil {
			return cause(err)
		}
	}
	*f.dir = s
	return nil
}

// addModelsDir adds -m.
func addModelsDir(fl *pflag.FlagSet, dir *string) {
	fl.VarP(modelsDirFlag{dir}, "models-dir", "m", "folder in which models are looked up by name first; the other places (sr3 model --help) are searched after it")
}

// openModel finds a model by name in a folder given on the command line, else as
// package model does.
func openModel(name, dir string) (*model.Model, error) {
	if dir != "" && name != "" && filepath.Base(name) == name {
		path := filepath.Join(dir, name+modelExtension)
		if _, err := os.Stat(path); err == nil {
			return model.Load(path)
		}
	}
	m, err := model.Open(name)
	if dir != "" && errors.Is(err, model.ErrUnknown) {
		err = fmt.Errorf("%w; in --models-dir %s: %s", err, dir, inFolder(dir))
	}
	return m, err
}

// inFolder says which models a folder has, or why that cannot be told.
func inFolder(dir string) string {
	if _, err := os.ReadDir(dir); err != nil {
		return cause(err).Error()
	}
	return cmp.Or(strings.Join(model.NamesIn(dir), ", "), "none")
}
