package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/internal/runfiles"
)

func newDataset(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dataset",
		Short: "Look at images to train on",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("dataset has no command %q; it has overlap", args[0])
		},
	}
	cmd.AddCommand(newDatasetOverlap(s))
	return cmd
}

// overlapFlags are the settings of "sr3 dataset overlap".
type overlapFlags struct {
	data, val []string
	threshold float64
	out       string
	overwrite bool
	json      bool
	quiet     bool
	threads   int
}

// overlapEvent is one line of --json.
type overlapEvent struct {
	Event       string  `json:"event"` // pair, done
	Held        string  `json:"held,omitempty"`
	Trained     string  `json:"trained,omitempty"`
	Correlation float64 `json:"correlation,omitempty"`
	Mirrored    bool    `json:"mirrored,omitempty"`
	Pairs       *int    `json:"pairs,omitempty"`
	Images      *int    `json:"images,omitempty"` // to leave out
}

func newDatasetOverlap(s *streams) *cobra.Command {
	f := &overlapFlags{}
	cmd := &cobra.Command{
		Use:   "overlap --data DIR --val DIR [-o LIST]",
		Short: "Find images to train on that are held out too, or nearly",
		Long: `overlap compares every image held out with every one to train on, reduced to 32x32
pixels, as they are and mirrored, and prints the pairs that correlate by --threshold or
more. A model that has seen what it is measured on looks better than it is.

-o writes the names of the training images among them; training leaves them out with
--set data.exclude=LIST. Look at some pairs near the threshold before: images of one
kind, such as faces cropped alike, correlate without being the same.`,
		Example: `  sr3 dataset overlap --data faces/train --val faces/val -o overlap.txt
  sr3 train --data faces/train --val faces/val --set data.exclude=overlap.txt --out runs/faces`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.data, "data", nil, "folder, .tar file or image to train on; may be repeated")
	fl.StringArrayVar(&f.val, "val", nil, "folder, .tar file or image held out; may be repeated")
	fl.Float64Var(&f.threshold, "threshold", 0.95, "least correlation, more than 0 to 1")
	fl.StringVarP(&f.out, "output", "o", "", "file for the names to leave out")
	addThreads(fl, &f.threads)
	fl.BoolVar(&f.overwrite, "overwrite", false, "replace the file if it exists")
	fl.BoolVar(&f.json, "json", false, "write events to standard output, one JSON object a line")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
	return cmd
}

func (f *overlapFlags) run(cmd *cobra.Command, s *streams) error {
	if len(f.data) == 0 || len(f.val) == 0 {
		return usagef("--data and --val are both needed: what is trained on, and what is held out")
	}
	if !(f.threshold > 0 && f.threshold <= 1) {
		return usagef("--threshold %v: want more than 0, at most 1", f.threshold)
	}
	if _, err := os.Lstat(f.out); f.out != "" && !f.overwrite && err == nil {
		return fmt.Errorf("%s exists already; give --overwrite to replace it", f.out)
	}
	m := newMeter(s.err, f.quiet || f.json)
	m.begin("compare")
	pairs, err := dataset.Overlap(cmd.Context(), f.data, f.val, f.threshold, f.threads, func(share float64) { m.update(share, "images read") })
	m.clear()
	if err != nil {
		return err
	}
	var names []string
	for _, p := range pairs {
		names = append(names, p.Trained)
		if err := f.print(s, p); err != nil {
			return err
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if f.json {
		pairsN, imagesN := len(pairs), len(names)
		err = writeJSON(s.out, overlapEvent{Event: "done", Pairs: &pairsN, Images: &imagesN})
	} else {
		_, err = fmt.Fprintf(s.out, "%s, of %s to train on\n", plural(len(pairs), "pair"), plural(len(names), "image"))
	}
	if err != nil || f.out == "" {
		return err
	}
	if err := f.write(names); err != nil || f.json || f.quiet {
		return err
	}
	fmt.Fprintf(s.err, "sr3: %s has their names; training leaves them out with --set data.exclude=%s\n", f.out, f.out)
	return nil
}

// print tells of a pair.
func (f *overlapFlags) print(s *streams, p dataset.Pair) error {
	if f.json {
		return writeJSON(s.out, overlapEvent{Event: "pair", Held: p.Held, Trained: p.Trained, Correlation: p.Correlation, Mirrored: p.Mirrored})
	}
	how := ""
	if p.Mirrored {
		how = "  mirrored"
	}
	_, err := fmt.Fprintf(s.out, "%.4f  %s  %s%s\n", p.Correlation, p.Held, p.Trained, how)
	return err
}

// write writes the list.
func (f *overlapFlags) write(names []string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Images that correlate with one held out by %v or more.\n", f.threshold)
	for _, n := range names {
		fmt.Fprintln(&b, n)
	}
	return runfiles.WriteAtomic(f.out, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
}
