package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
)

// Shards of the state of step N lie in shards/step-N. The folder gets that name when all of them are complete; older
// folders are removed after that.
const (
	shardFolder = "shards"
	shardStep   = "step-"
	shardPrefix = "state"
)

// writeShards writes a state in files of at most megabytes MiB into the run directory.
func writeShards(dir string, step int, f *checkpoint.File, megabytes int) error {
	root := filepath.Join(dir, shardFolder)
	final := filepath.Join(root, fmt.Sprintf("%s%010d", shardStep, step))
	unfinished := final + ".tmp"
	if err := errors.Join(os.RemoveAll(unfinished), os.MkdirAll(unfinished, 0o777)); err != nil {
		return err
	}
	if _, err := checkpoint.WriteShards(filepath.Join(unfinished, shardPrefix), f, int64(megabytes)<<20); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(final), os.Rename(unfinished, final)); err != nil {
		return err
	}
	return removeShardsBut(root, filepath.Base(final))
}

// removeShardsBut removes other folders of shards, unfinished ones too.
func removeShardsBut(root, keep string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), shardStep) && e.Name() != keep {
			errs = append(errs, os.RemoveAll(filepath.Join(root, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// shardFolders returns the complete folders of shards in a run directory, oldest first.
func shardFolders(dir string) ([]string, error) {
	root := filepath.Join(dir, shardFolder)
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), shardStep) && !strings.HasSuffix(e.Name(), ".tmp") {
			found = append(found, filepath.Join(root, e.Name()))
		}
	}
	slices.Sort(found)
	return found, nil
}

// readShards reads a folder of shards.
func readShards(folder string) (*checkpoint.File, error) {
	return checkpoint.ReadShards(filepath.Join(folder, shardPrefix))
}
