package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// Card is what a model card says. [Card.Markdown] writes it; the text goes into
// [Model.Card], the fields into [Model.Record]. Empty fields leave out their
// section, or are marked as unknown where a reader must know.
type Card struct {
	Name       string       `json:"name"`
	Summary    string       `json:"summary,omitempty"` // one or two sentences
	Scale      int          `json:"scale,omitempty"`
	Parameters int64        `json:"parameters,omitempty"`
	Network    string       `json:"network,omitempty"` // one line, such as a preset's name or its settings
	Licence    string       `json:"licence,omitempty"` // SPDX identifier of the weights
	Use        string       `json:"use,omitempty"`     // what the model is for, and what it is not for
	Data       []CardSource `json:"data,omitempty"`    // of training, over all runs
	HeldOut    []CardSource `json:"held_out,omitempty"`
	// DataNotes are sentences about the images: how they were identified, what is
	// not known of them.
	DataNotes []string  `json:"data_notes,omitempty"`
	Command   string    `json:"command,omitempty"` // how to train it again, where there are no Runs
	Compute   string    `json:"compute,omitempty"` // machine and time, where there are no Runs
	Runs      []CardRun `json:"runs,omitempty"`    // that led to the weights, oldest first
	// Predictor is the record of the regression that is refined, for its runs.
	Predictor *Card       `json:"predictor,omitempty"`
	Tables    []CardTable `json:"tables,omitempty"`
	Limits    []string    `json:"limits,omitempty"` // what it does badly, each a sentence
	// Regression tells that the model makes its result in one call, see
	// [ObjectiveRegression].
	Regression bool `json:"regression,omitempty"`
	// Unconditional tells that the model makes images from noise alone, see
	// [Config.Unconditional].
	Unconditional bool `json:"unconditional,omitempty"`
	// Files identifies what is described, as pairs of a name and a digest, and
	// Pictures lie beside the card; both belong to a published card and not to the
	// record in a model file.
	Files    [][2]string   `json:"-"`
	Pictures []CardPicture `json:"-"`
}

// CardSource is one source of images.
type CardSource struct {
	Name    string `json:"name"`
	Licence string `json:"licence,omitempty"`
	URL     string `json:"url,omitempty"`
	Images  int    `json:"images,omitempty"` // 0 if not known
}

// CardTable is a table of results. Every row has as many cells as Header.
type CardTable struct {
	Title  string     `json:"title"`
	Header []string   `json:"header"`
	Rows   [][]string `json:"rows"`
	Notes  []string   `json:"notes,omitempty"` // paragraphs that stand below
}

// CardPicture is a picture beside a card.
type CardPicture struct{ File, Caption string }

// cardText is the layout of a card: YAML front matter as model hubs read it,
// then prose. Strings in the front matter are JSON strings, which YAML reads.
const cardText = `---
license: {{yaml (or .Licence "unknown")}}
library_name: sr3
pipeline_tag: {{if .Unconditional}}unconditional-image-generation{{else}}image-to-image{{end}}
tags: [{{if not .Unconditional}}super-resolution, {{end}}{{if .Regression}}regression{{else}}diffusion{{end}}, sr3]
{{- if .Data}}
datasets:
{{- range names .Data}}
  - {{yaml .}}
{{- end}}
{{- end}}
---

# {{line .Name}}

{{with .Summary}}{{.}}

{{end -}}
| | |
|---|---|
{{if not .Unconditional}}| scale | {{if .Scale}}x{{.Scale}}{{else}}unknown{{end}} |
{{end -}}
{{if .Regression}}| kind | regression: one call of the network, nothing is refined |
{{end -}}
| network | {{cell (or .Network "unknown")}} |
| parameters | {{.Parameters}} |
| licence of the weights | {{cell (or .Licence "unknown")}} |
{{range .Files}}| {{cell (index . 0)}} | {{cell (index . 1)}} |
{{end}}
{{- with .Use}}
## Use

{{.}}
{{end}}
{{- range .Pictures}}
![{{line .Caption}}]({{url .File}})

{{line .Caption}}
{{end}}
## Training data
{{if .Data}}
{{template "sources" .Data}}{{else}}
Unknown.
{{end}}
{{- with .HeldOut}}
Held out, to watch the training and to choose weights by:

{{template "sources" .}}{{end}}
{{- with .DataNotes}}
{{range .}}- {{line .}}
{{end}}{{end}}
{{- with .Predictor}}{{if .Runs}}
## Training of the predictor

The regression {{line .Name}}, whose result is refined.
{{template "runs" .Runs}}
{{- end}}{{end}}
{{- if or .Command .Runs}}
## Training
{{end}}
{{- with .Command}}
` + "```" + `
{{.}}
` + "```" + `
{{end}}
{{- with .Compute}}
Compute: {{.}}
{{end}}
{{- template "runs" .Runs}}
{{- range .Tables}}
## {{line .Title}}

{{template "table" .}}
{{- range .Notes}}
{{.}}
{{end}}
{{- end}}
## Limits

{{range .Limits}}- {{line .}}
{{end -}}
{{if .Regression -}}
- Detail that the input does not determine comes out as the mean of what it could be: blurred. The same image gives the same result.
{{- else if .Unconditional -}}
- Everything is made up. Nobody and nothing that the images show exists, and what the training images hold too often comes out too often.
{{- else -}}
- Detail that the input does not determine is made up: two runs with different seeds differ.
{{- end}} Do not use the output as evidence of what was there.
{{define "runs"}}{{- $runs := len .}}
{{- range $i, $run := .}}
{{- if gt $runs 1}}
### Run {{inc $i}} of {{$runs}}: {{line $run.Name}}
{{end}}
| | |
|---|---|
{{range $run.Facts}}| {{cell (index . 0)}} | {{cell (index . 1)}} |
{{end}}
{{- with $run.Commands}}
As typed, each start of the program that was typed differently:

` + "```" + `
{{range .}}{{line .}}
{{end}}` + "```" + `
{{end}}
{{- with $run.Config}}
<details><summary>The whole configuration, for "sr3 train --config FILE"</summary>

` + "```toml" + `
{{trim .}}
` + "```" + `

</details>
{{end}}
{{- with $run.CurveTable}}
{{template "table" .}}{{end}}
{{- end}}{{end}}
{{- define "sources"}}| source | images | licence |
|---|---|---|
{{range .}}| {{cell .Name}}{{with .URL}} <{{cell .}}>{{end}} | {{if .Images}}{{.Images}}{{else}}unknown{{end}} | {{cell (or .Licence "unknown")}} |
{{end}}{{end}}
{{- define "table"}}| {{range .Header}}{{cell .}} | {{end}}
|{{range .Header}}---|{{end}}
{{range .Rows}}| {{range .}}{{cell .}} | {{end}}
{{end}}{{end}}`

// oneLine keeps a text from becoming several lines.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// cardFunctions are those of cardText.
var cardFunctions = template.FuncMap{
	"line": oneLine,
	"trim": strings.TrimSpace,
	"names": func(sources []CardSource) (list []string) {
		for _, s := range sources {
			if !slices.Contains(list, s.Name) {
				list = append(list, s.Name)
			}
		}
		return list
	},
	"inc":  func(i int) int { return i + 1 },
	"url":  func(s string) string { return "<" + strings.NewReplacer("<", "", ">", "", "\n", "").Replace(s) + ">" },
	"cell": func(s string) string { return strings.ReplaceAll(oneLine(s), "|", `\|`) },
	"yaml": func(s string) (string, error) {
		text, err := json.Marshal(s)
		return string(text), err
	},
}

// Markdown writes the card.
func (c Card) Markdown() (string, error) {
	for _, t := range c.Tables {
		for i, row := range t.Rows {
			if len(row) != len(t.Header) {
				return "", fmt.Errorf("model card: table %q, row %d has %d cells, the header %d", t.Title, i+1, len(row), len(t.Header))
			}
		}
	}
	tmpl, err := template.New("card").Funcs(cardFunctions).Parse(cardText)
	if err != nil {
		return "", fmt.Errorf("model card: %w", err)
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, c); err != nil {
		return "", fmt.Errorf("model card: %w", err)
	}
	return b.String(), nil
}
