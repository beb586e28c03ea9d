package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// stdio stands for standard input or standard output on the command line.
const stdio = "-"

// inputExtensions are the file names that are looked for in folders.
var inputExtensions = []string{".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"}

// outputExtensions maps the names that -f knows to the extension they get.
var outputExtensions = map[string]string{"png": ".png", "jpg": ".jpg", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tiff", "tif": ".tiff"}

// job is one image to make.
type job struct{ in, out string }

// jobRequest is what the command line says about inputs and outputs.
type jobRequest struct {
	inputs []string
	output string // of -o, may be empty
	format string // of -f, may be empty
	suffix string // of names beside the input: "_sr3_x4"
}

// jobList is the work that a request comes down to. A batch goes on after a
// failure and skips outputs that exist.
type jobList struct {
	jobs  []job
	batch bool
}

// planJobs finds the images and says where each result goes.
func planJobs(r jobRequest) (*jobList, error) {
	ext, err := r.extension()
	if err != nil {
		return nil, err
	}
	inputs, err := expandGlobs(r.inputs)
	if err != nil {
		return nil, err
	}
	list := &jobList{batch: len(inputs) > 1}
	for _, in := range inputs {
		jobs, folder, err := r.jobsOf(in, ext, len(inputs) > 1)
		if err != nil {
			return nil, err
		}
		list.jobs = append(list.jobs, jobs...)
		list.batch = list.batch || folder
	}
	separateOutputs(list.jobs)
	return list, nil
}

// extension is that of results whose names are not given in full.
func (r jobRequest) extension() (string, error) {
	if r.format == "" || r.format == "auto" {
		return ".png", nil
	}
	ext, ok := outputExtensions[strings.ToLower(r.format)]
	if !ok {
		return "", usagef("-f %s: want png, jpg, webp or tiff", r.format)
	}
	given := strings.ToLower(filepath.Ext(r.output))
	if known, ok := outputExtensions[strings.TrimPrefix(given, ".")]; ok && known != ext {
		return "", usagef("-f %s does not go with -o %s; leave one of them out", r.format, r.output)
	}
	return ext, nil
}

// jobsOf is the work that one argument asks for.
func (r jobRequest) jobsOf(in, ext string, several bool) (jobs []job, folder bool, err error) {
	if in == stdio {
		out := r.output
		if out == "" {
			out = stdio
		}
		if several {
			return nil, false, usagef("standard input cannot be mixed with other inputs")
		}
		return []job{{in, r.inFolder(out, "stdin", ext)}}, false, nil
	}
	info, err := os.Stat(in)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", in, cause(err))
	}
	if info.IsDir() {
		jobs, err = r.folderJobs(in, ext)
		return jobs, true, err
	}
	stem := strings.TrimSuffix(filepath.Base(in), filepath.Ext(in))
	switch {
	case r.output == "":
		return []job{{in, filepath.Join(filepath.Dir(in), stem+r.suffix+ext)}}, false, nil
	case several && r.output == stdio:
		return nil, false, usagef("several images cannot all go to standard output; give a folder to -o")
	case several:
		return []job{{in, filepath.Join(r.output, stem+ext)}}, false, nil
	}
	return []job{{in, r.inFolder(r.output, stem, ext)}}, false, nil
}

// inFolder turns an output that is a folder into a file in it.
func (r jobRequest) inFolder(out, stem, ext string) string {
	if out == stdio {
		return out
	}
	info, err := os.Stat(out)
	if err == nil && info.IsDir() || strings.HasSuffix(out, "/") || strings.HasSuffix(out, string(filepath.Separator)) {
		return filepath.Join(out, stem+ext)
	}
	return out
}

// folderJobs mirrors a folder: every image below it, in sorted order. Without -o
// the results go to a folder beside it.
func (r jobRequest) folderJobs(dir, ext string) ([]job, error) {
	if r.output == stdio {
		return nil, usagef("a folder cannot go to standard output; give a folder to -o")
	}
	target := r.output
	if target == "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		target = filepath.Clean(dir) + r.suffix
		if base := filepath.Base(dir); base == "." || base == ".." || base == string(filepath.Separator) {
			target = abs + r.suffix
		}
	}
	if info, err := os.Stat(target); err == nil && !info.IsDir() {
		return nil, usagef("-o %s is a file; the results of a folder need a folder", target)
	}
	root, err := filepath.EvalSymlinks(dir) // a walk does not follow links
	if err != nil {
		return nil, fmt.Errorf("read folder %s: %w", dir, cause(err))
	}
	var jobs []job
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read folder %s: %w", path, cause(err))
		}
		if d.IsDir() {
			if path != root && (strings.HasPrefix(d.Name(), ".") || sameFile(path, target)) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasPrefix(d.Name(), ".") || !slices.Contains(inputExtensions, strings.ToLower(filepath.Ext(path))) {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		jobs = append(jobs, job{filepath.Join(dir, rel), filepath.Join(target, strings.TrimSuffix(rel, filepath.Ext(rel))+ext)})
		return nil
	})
	if err == nil && len(jobs) == 0 {
		err = fmt.Errorf("no images in %s: looked for names ending in %s", dir, strings.Join(inputExtensions, " "))
	}
	return jobs, err
}

// separateOutputs keeps a.jpg and a.png of one folder apart: both get their old
// extension into the name.
func separateOutputs(jobs []job) {
	count := map[string]int{}
	for _, j := range jobs {
		count[j.out]++
	}
	for i, j := range jobs {
		if count[j.out] > 1 && j.out != stdio {
			ext := filepath.Ext(j.out)
			jobs[i].out = strings.TrimSuffix(j.out, ext) + "_" + strings.TrimPrefix(filepath.Ext(j.in), ".") + ext
		}
	}
	seen := map[string]bool{}
	for i, j := range jobs {
		ext := filepath.Ext(j.out)
		for n := 2; seen[jobs[i].out] && j.out != stdio; n++ {
			jobs[i].out = strings.TrimSuffix(j.out, ext) + "_" + strconv.Itoa(n) + ext
		}
		seen[jobs[i].out] = true
	}
}

// checkNotInput refuses to replace an image by its own enlargement, and, where
// outputs that exist are replaced, by that of any other. outputs lists the files
// that a job writes.
func checkNotInput(jobs []job, outputs func(job) []string, overwrite bool) error {
	inputs := make([]os.FileInfo, len(jobs))
	for i, j := range jobs {
		if j.in != stdio {
			inputs[i], _ = os.Stat(j.in)
		}
	}
	for i, j := range jobs {
		for _, path := range outputs(j) {
			info, err := os.Stat(path)
			if err != nil {
				continue
			}
			for at, in := range inputs {
				if in != nil && (at == i || overwrite) && os.SameFile(in, info) {
					return usagef("%s would be replaced by the result of %s; give another name to -o", jobs[at].in, j.in)
				}
			}
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// inputsExist finds a mistyped name before a model is loaded.
func inputsExist(args []string) error {
	args, err := expandGlobs(args)
	for _, a := range args {
		if a == stdio {
			continue
		}
		if _, err := os.Stat(a); err != nil {
			return fmt.Errorf("read %s: %w", a, cause(err))
		}
	}
	return err
}

// expandGlobs does what a shell does, for those that do not.
func expandGlobs(args []string) ([]string, error) {
	var out []string
	for _, a := range args {
		if _, err := os.Lstat(a); err == nil || a == stdio || !strings.ContainsAny(a, "*?[") {
			out = append(out, a)
			continue
		}
		found, err := filepath.Glob(a)
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("no file matches %s", a)
		}
		out = append(out, found...)
	}
	return out, nil
}

// cause takes the operation and the path off an error of package os, where the
// message names them already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
