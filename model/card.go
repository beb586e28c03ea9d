package model

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
)

// Card is what a model card says. [Card.Markdown] writes it; the text goes into
// [Model.Card]. Empty fields leave out their section, or are marked as unknown
// where a reader must know.
type Card struct {
	Name       string
	Summary    string // one or two sentences
	Scale      int
	Parameters int64
	Network    string // one line, such as a preset's name or its settings
	Licence    string // SPDX identifier of the weights
	Use        string // what the model is for, and what it is not for
	Data       []CardSource
	Command    string // how to train it again
	Compute    string // machine and time
	Tables     []CardTable
	Limits     []string // what it does badly, each a sentence
	// Regression tells that the model makes its result in one call, see
	// [ObjectiveRegression].
	Regression bool
}

// CardSource is one source of training images.
type CardSource struct {
	Name, Licence, URL string
	Images             int // 0 if not known
}

// CardTable is a table of results. Every row has as many cells as Header.
type CardTable struct {
	Title  string
	Header []string
	Rows   [][]string
}

// cardText is the layout of a card: YAML front matter as model hubs read it,
// then prose. Strings in the front matter are JSON strings, which YAML reads.
const cardText = `---
license: {{yaml (or .Licence "unknown")}}
library_name: sr3
pipeline_tag: image-to-image
tags: [super-resolution, {{if .Regression}}regression{{else}}diffusion{{end}}, sr3]
{{- if .Data}}
datasets:
{{- range .Data}}
  - {{yaml .Name}}
{{- end}}
{{- end}}
---

# {{line .Name}}

{{with .Summary}}{{.}}

{{end -}}
| | |
|---|---|
| scale | {{if .Scale}}x{{.Scale}}{{else}}unknown{{end}} |
{{if .Regression}}| kind | regression: one call of the network, nothing is refined |
{{end -}}
| network | {{cell (or .Network "unknown")}} |
| parameters | {{.Parameters}} |
| licence of the weights | {{cell (or .Licence "unknown")}} |
{{with .Use}}
## Use

{{.}}
{{end}}
## Training data
{{if .Data}}
| source | images | licence |
|---|---|---|
{{range .Data}}| {{cell .Name}}{{with .URL}} <{{cell .}}>{{end}} | {{if .Images}}{{.Images}}{{else}}unknown{{end}} | {{cell (or .Licence "unknown")}} |
{{end}}{{else}}
Unknown.
{{end}}
{{- with .Command}}
## Training

` + "```" + `
{{.}}
` + "```" + `
{{end}}
{{- with .Compute}}
Compute: {{.}}
{{end}}
{{- range .Tables}}
## {{line .Title}}

| {{range .Header}}{{cell .}} | {{end}}
|{{range .Header}}---|{{end}}
{{range .Rows}}| {{range .}}{{cell .}} | {{end}}
{{end}}
{{- end}}
## Limits

{{range .Limits}}- {{line .}}
{{end -}}
{{if .Regression -}}
- Detail that the input does not determine comes out as the mean of what it could be: blurred. The same image gives the same result.
{{- else -}}
- Detail that the input does not determine is made up: two runs with different seeds differ.
{{- end}} Do not use the output as evidence of what was there.
`

// Markdown writes the card.
func (c Card) Markdown() (string, error) {
	for _, t := range c.Tables {
		for i, row := range t.Rows {
			if len(row) != len(t.Header) {
				return "", fmt.Errorf("model card: table %q, row %d has %d cells, the header %d", t.Title, i+1, len(row), len(t.Header))
			}
		}
	}
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	tmpl, err := template.New("card").Funcs(template.FuncMap{
		"line": oneLine,
		"cell": func(s string) string { return strings.ReplaceAll(oneLine(s), "|", `\|`) },
		"yaml": func(s string) (string, error) {
			text, err := json.Marshal(s)
			return string(text), err
		},
	}).Parse(cardText)
	if err != nil {
		return "", fmt.Errorf("model card: %w", err)
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, c); err != nil {
		return "", fmt.Errorf("model card: %w", err)
	}
	return b.String(), nil
}
