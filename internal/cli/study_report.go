package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/study"
)

// studyReportFlags is the command line of "sr3 study report".
type studyReportFlags struct {
	out, csv       string
	json           bool
	maxCatchErrors int
	completeOnly   bool
}

func newStudyReport(s *streams) *cobra.Command {
	f := &studyReportFlags{}
	cmd := &cobra.Command{
		Use:   "report FOLDER",
		Short: "Fool rates with their errors",
		Long: `report prints for each method the mean fool rate over subjects with its standard
error, the rate over all answers with Wilson's 95 % interval, and the median and
quartiles of response times. 50 % is the ceiling: the rate of results that nobody can
tell from originals.

-o writes a page with the paper's bar chart, the table, and the images that fooled most
and least; it needs no other file. --csv writes every answer, one a line.

Who failed more catch trials than the study allows is left out, and the report names
them. --max-catch-errors is for looking whether that matters; say so if you publish a
report with another rule than the one fixed beforehand.`,
		Example: `  sr3 study report faces -o report.html --csv answers.csv
  sr3 study report faces --json | jq '.methods[] | {method, mean, standard_error}'`,
		Args: nArgs(1, "the folder of a study"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, s, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "write a page: FILE.html")
	fl.StringVar(&f.csv, "csv", "", "write all answers: FILE.csv, or - for standard output")
	fl.BoolVar(&f.json, "json", false, "print the report as JSON")
	fl.IntVar(&f.maxCatchErrors, "max-catch-errors", 0, "another rule of exclusion than the study's; -1: nobody is left out")
	fl.BoolVar(&f.completeOnly, "complete-only", false, "leave out subjects who stopped early")
	return cmd
}

func (f *studyReportFlags) run(cmd *cobra.Command, s *streams, dir string) error {
	if ext := strings.ToLower(filepath.Ext(f.out)); f.out != "" && ext != ".html" && ext != ".htm" {
		return usagef("-o %s: want FILE.html", f.out)
	}
	if f.json && f.csv == "-" {
		return usagef("--json and --csv - both write to standard output")
	}
	folder, err := study.Open(dir)
	if err != nil {
		return err
	}
	store, err := folder.OpenStore(cmd.Context())
	if err != nil {
		return err
	}
	return errors.Join(f.write(cmd, s, folder, store), store.Close())
}

func (f *studyReportFlags) write(cmd *cobra.Command, s *streams, folder *study.Folder, store *study.Store) error {
	rules := folder.Rules()
	if cmd.Flags().Changed("max-catch-errors") {
		rules.MaxCatchErrors = f.maxCatchErrors
	}
	if f.completeOnly {
		rules.Complete = folder.Manifest.Design().Length()
	}
	r, err := folder.Report(cmd.Context(), store, rules)
	if err != nil {
		return err
	}
	if err := f.writeCSV(cmd, s, store); err != nil {
		return err
	}
	if f.out != "" {
		if err := runfiles.WriteAtomic(f.out, func(w io.Writer) error { return folder.WriteHTML(w, r) }); err != nil {
			return err
		}
	}
	switch {
	case f.json:
		return writeJSON(s.out, r)
	case f.csv != "-":
		fmt.Fprint(s.out, r.Text())
	}
	return nil
}

func (f *studyReportFlags) writeCSV(cmd *cobra.Command, s *streams, store *study.Store) error {
	if f.csv == "" {
		return nil
	}
	answers, err := store.Answers(cmd.Context())
	if err != nil {
		return err
	}
	if f.csv == "-" {
		return study.WriteCSV(s.out, answers)
	}
	return runfiles.WriteAtomic(f.csv, func(w io.Writer) error { return study.WriteCSV(w, answers) })
}
