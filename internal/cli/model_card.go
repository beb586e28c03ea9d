package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/internal/eval"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/model"
)

// cardFlags are the settings of "sr3 model card".
type cardFlags struct {
	output, dtype    string
	tables, limits   []string
	samples          []string
	use              string
	overwrite        bool
	config, asRecord bool
}

func newModelCard(s *streams) *cobra.Command {
	f := &cardFlags{}
	cmd := &cobra.Command{
		Use:   "card MODEL [-o FOLDER | -o FILE.safetensors]",
		Short: "Print, complete and publish a model's card",
		Long: `card prints the card that a model carries. "sr3 train" writes it: the images with
their sources and licences, the command, the configuration, machine and time, the
curve of the loss, and the same of the models that the weights went through before.

What the trainer cannot know is added here: the tables of "sr3 eval" (--tables, of a
report's folder), what the model does badly (--limits), what it is for (--use). A
table takes the place of one with the same title. -o FILE.safetensors writes a copy
of the model with the new card in it. -o FOLDER writes the card to be published:
card.md, curve.svg, config.toml (config-1.toml and so on for earlier runs,
predictor-config.toml for a predictor) and the pictures given with --samples.

--config prints the configuration of the last run, which trains the model again:
sr3 model card MODEL --config > mine.toml; sr3 train --config mine.toml --data DIR`,
		Example: `  sr3 model card photo-x4
  sr3 model card runs/mine/best.safetensors -o mine.safetensors --tables report-set5 --tables report-set14 --limits "Small text becomes unreadable."
  sr3 model card mine.safetensors -o docs/models/mine --samples sheet.png`,
		Args: nArgs(1, "one model"),
		RunE: func(_ *cobra.Command, args []string) error { return f.run(s, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.output, "output", "o", "", "folder to publish in, or .safetensors file for a copy of the model")
	fl.StringArrayVar(&f.tables, "tables", nil, "folder of a report of sr3 eval whose tables to add; may be repeated")
	fl.StringArrayVar(&f.limits, "limits", nil, "sentence on what the model does badly; may be repeated")
	fl.StringVar(&f.use, "use", "", "sentence on what the model is for")
	fl.StringArrayVar(&f.samples, "samples", nil, "with -o FOLDER: picture to put beside the card; may be repeated")
	addCopyType(fl, &f.dtype, "with -o FILE.safetensors: ")
	fl.BoolVar(&f.overwrite, "overwrite", false, "replace files that exist")
	fl.BoolVar(&f.config, "config", false, "print the configuration of the last training run (TOML)")
	fl.BoolVar(&f.asRecord, "json", false, "print what is known of the model's training as one JSON object")
	return cmd
}

func (f *cardFlags) run(s *streams, name string) error {
	if err := f.check(); err != nil {
		return err
	}
	m, err := model.Open(name)
	if err != nil {
		return err
	}
	if err := f.complete(s, m); err != nil {
		return err
	}
	switch {
	case f.config:
		return printRunConfig(s, m)
	case f.asRecord:
		if m.Record == nil {
			return fmt.Errorf("model %s has no record of its training", m.Config.Name)
		}
		return writeJSON(s.out, m.Record)
	case filepath.Ext(f.output) == modelExtension:
		as, err := copyType(f.dtype)
		if err != nil {
			return err
		}
		return saveModel(s, m, f.output, cmp.Or(as, m.Stored))
	case f.output != "":
		return f.publish(s, m)
	}
	if m.Card == "" {
		return fmt.Errorf("model %s has no card; write one and put it in with: sr3 model edit %s -o FILE.safetensors --card CARD.md", m.Config.Name, name)
	}
	_, err = fmt.Fprintln(s.out, m.Card)
	return err
}

// check refuses flags that make no sense together.
func (f *cardFlags) check() error {
	toFile := filepath.Ext(f.output) == modelExtension
	switch {
	case f.config && f.asRecord, (f.config || f.asRecord) && f.output != "":
		return usagef("--config, --json and -o exclude each other")
	case len(f.samples) > 0 && (f.output == "" || toFile):
		return usagef("--samples is for -o FOLDER: pictures lie beside a card")
	case toFile:
		if _, err := copyType(f.dtype); err != nil {
			return err
		}
		return checkOutput(f.output, modelExtension, f.overwrite)
	}
	seen := map[string]bool{}
	for _, p := range f.samples {
		base := filepath.Base(p)
		if seen[base] || slices.Contains([]string{cardFile, curveFile}, base) {
			return usagef("--samples %s: another file of the card has that name", p)
		}
		seen[base] = true
	}
	return nil
}

// complete adds what the command line gives to the model's record and card.
func (f *cardFlags) complete(s *streams, m *model.Model) error {
	if len(f.tables)+len(f.limits) == 0 && f.use == "" {
		return nil
	}
	if err := m.CheckRecord(); err != nil {
		if errors.Is(err, model.ErrNoRecord) {
			err = fmt.Errorf("%w; change its text instead: sr3 model edit MODEL -o FILE.safetensors --card CARD.md", err)
		}
		return err
	}
	card := *m.Record
	card.Tables = slices.Clone(card.Tables)
	for _, dir := range f.tables {
		tables, err := eval.ReadTables(dir)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(tables, func(t eval.Table) bool {
			return m.Digest != "" && strings.Contains(strings.Join(t.Notes, "\n"), "model "+m.Digest[:12])
		}) {
			fmt.Fprintf(s.err, "sr3: note: no method in the report %s is this very file (digest %.12s); its tables are added as they stand\n", dir, m.Digest)
		}
		for _, t := range tables {
			card.Tables = putTable(card.Tables, model.CardTable{Title: t.Title, Header: t.Header, Rows: t.Rows, Notes: t.Notes})
		}
	}
	for _, limit := range f.limits {
		if !slices.Contains(card.Limits, limit) {
			card.Limits = append(slices.Clip(card.Limits), limit)
		}
	}
	if f.use != "" {
		card.Use = f.use
	}
	return m.SetRecord(card)
}

// putTable replaces the table of the same title, or appends.
func putTable(list []model.CardTable, t model.CardTable) []model.CardTable {
	if i := slices.IndexFunc(list, func(o model.CardTable) bool { return o.Title == t.Title }); i >= 0 {
		list[i] = t
		return list
	}
	return append(list, t)
}

func printRunConfig(s *streams, m *model.Model) error {
	if m.Record == nil || len(m.Record.Runs) == 0 || m.Record.Runs[len(m.Record.Runs)-1].Config == "" {
		return fmt.Errorf("model %s does not say how it was configured", m.Config.Name)
	}
	_, err := io.WriteString(s.out, m.Record.Runs[len(m.Record.Runs)-1].Config)
	return err
}

// The files of a published card.
const (
	cardFile  = "card.md"
	curveFile = "curve.svg"
)

// publish writes the card with what belongs beside it into a folder.
func (f *cardFlags) publish(s *streams, m *model.Model) error {
	files, err := f.published(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.output, 0o777); err != nil {
		return fmt.Errorf("publish card: %w", err)
	}
	for _, file := range files {
		path := filepath.Join(f.output, file.name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !f.overwrite {
			return fmt.Errorf("%s exists already; give --overwrite to replace it, or another folder to -o", path)
		}
	}
	for _, file := range files {
		path := filepath.Join(f.output, file.name)
		if err := runfiles.WriteAtomic(path, func(w io.Writer) error { _, err := w.Write(file.data); return err }); err != nil {
			return fmt.Errorf("publish card: %w", err)
		}
		fmt.Fprintln(s.out, path)
	}
	return nil
}

// cardPart is a file of a published card.
type cardPart struct {
	name string
	data []byte
}

// published makes the files, the card last.
func (f *cardFlags) published(m *model.Model) ([]cardPart, error) {
	var files []cardPart
	var pictures []model.CardPicture
	for _, p := range f.samples {
		data, err := readPicture(p)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(p)
		files = append(files, cardPart{name, data})
		pictures = append(pictures, model.CardPicture{File: name, Caption: strings.TrimSuffix(name, filepath.Ext(name))})
	}
	if m.CheckRecord() != nil { // the text is somebody's own
		text := m.Card
		for _, p := range pictures {
			text += fmt.Sprintf("\n![%s](<%s>)\n", p.Caption, p.File)
		}
		return append(files, cardPart{cardFile, []byte(text)}), nil
	}
	card := *m.Record
	files = append(files, configFiles("config", card.Runs)...)
	if card.Predictor != nil {
		files = append(files, configFiles("predictor-config", card.Predictor.Runs)...)
	}
	if n := len(card.Runs); n > 0 {
		if svg := card.Runs[n-1].CurveSVG(); svg != "" {
			files = append(files, cardPart{curveFile, []byte(svg)})
			pictures = append(pictures, model.CardPicture{File: curveFile, Caption: "The loss of the last run"})
		}
	}
	card.Pictures = pictures
	card.Files = [][2]string{{"digest of the file", m.Digest}, {"digest of the weights", m.WeightsDigest()}}
	text, err := card.Markdown()
	return append(files, cardPart{cardFile, []byte(text)}), err
}

// configFiles are the configurations of runs: NAME.toml of the last, NAME-1.toml
// and so on of those before.
func configFiles(name string, runs []model.CardRun) (files []cardPart) {
	for i, run := range runs {
		file := name + ".toml"
		if i < len(runs)-1 {
			file = fmt.Sprintf("%s-%d.toml", name, i+1)
		}
		if run.Config != "" {
			files = append(files, cardPart{file, []byte(run.Config)})
		}
	}
	return files
}

// readPicture reads a file to be copied.
func readPicture(path string) ([]byte, error) {
	const limit = 256 << 20
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > limit) {
		err = fmt.Errorf("want a picture of at most %d bytes", limit)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	return data, nil
}
