package eval

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Markdown is the table in the layout of the paper's table 2, methods as rows,
// with what a reader needs to judge it.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", r.title(), r.lead())
	b.WriteString("| method |")
	for _, c := range r.Columns {
		fmt.Fprintf(&b, " %s |", c.heading())
	}
	b.WriteString(" s/image |\n|---|" + strings.Repeat("---|", len(r.Columns)+1) + "\n")
	for _, m := range r.Methods {
		fmt.Fprintf(&b, "| %s |", escapeCell(m.Name))
		for i, c := range m.Cells {
			fmt.Fprintf(&b, " %s |", c.markdown(r.Columns[i].Digits))
		}
		fmt.Fprintf(&b, " %s |\n", m.Seconds.text(2))
	}
	b.WriteString("\n" + strings.Join(r.notes(), " ") + "\n\n")
	for _, m := range r.Methods {
		fmt.Fprintf(&b, "- %s: %s\n", m.Name, m.describe())
	}
	b.WriteString("\n")
	for _, c := range r.Columns {
		fmt.Fprintf(&b, "- %s: %s\n", c.Title, c.About)
	}
	if r.Accuracy != nil {
		b.WriteString("\n" + r.Accuracy.markdown())
	}
	if len(r.Problems) > 0 {
		b.WriteString("\nLeft out:\n\n")
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "- %s\n", p.String())
		}
	}
	return b.String()
}

// title names the data.
func (r *Report) title() string {
	title := "Super-resolution of " + filepath.Base(r.Data)
	if r.Inputs != "" {
		title += " from " + filepath.Base(r.Inputs)
	}
	return title
}

// lead says what was done, in a sentence.
func (r *Report) lead() string {
	n, differs := r.common(0)
	images := fmt.Sprintf("%d images", n)
	switch {
	case r.Own && (differs || n != r.Images):
		images = fmt.Sprintf("up to %d of %d images, each method on its own", n, r.Images)
	case n != r.Images:
		images = fmt.Sprintf("the %d of %d images that all methods have", n, r.Images)
	case n == 1:
		images = "1 image"
	}
	return strings.ToUpper(images[:1]) + images[1:] + " of " + r.Data + ": " + r.Degraded + "."
}

// notes explain the signs in the table.
func (r *Report) notes() []string {
	list := []string{"Means over images, with the 95 % interval that the choice of the images leaves (bootstrap, 2000 draws, fixed seed)."}
	has := func(f func(Cell) bool) bool {
		for _, m := range r.Methods {
			for _, c := range m.Cells {
				if f(c) {
					return true
				}
			}
		}
		return false
	}
	list = append(list, "Bold: the best of a column.")
	if has(func(c Cell) bool { return c.Tied }) {
		list = append(list, "≈: the difference from the best, image by image, may be chance.")
	}
	if has(func(c Cell) bool { return c.Fewer }) {
		list = append(list, "*: fewer images than other methods, so not comparable with them.")
	}
	for i, c := range r.Columns[1:] {
		first, _ := r.common(0)
		if n, _ := r.common(i + 1); n != first && !r.Own {
			list = append(list, fmt.Sprintf("%s: %d images.", c.Title, n))
		}
	}
	return append(list, r.networkNotes()...)
}

// networkNotes name the files of weights, and sets that are too small.
func (r *Report) networkNotes() (list []string) {
	var files []string
	titles := map[string][]string{} // by file
	for i, c := range r.Columns {
		if n, _ := r.common(i); n < c.Vectors {
			list = append(list, fmt.Sprintf("%s: %d images are fewer than the %d features, so the estimate is too large and compares only with sets of as many images.", c.Title, n, c.Vectors))
		}
		if c.Weights == "" {
			continue
		}
		if titles[c.Weights] == nil {
			files = append(files, c.Weights)
		}
		titles[c.Weights] = append(titles[c.Weights], c.Title)
	}
	for _, f := range files {
		list = append(list, fmt.Sprintf("%s: weights %s.", strings.Join(titles[f], ", "), f))
	}
	return list
}

func (c Cell) markdown(digits int) string {
	text := c.Mean.text(digits)
	if c.Best {
		text = "**" + text + "**"
	}
	text += c.marks()
	if c.Low.Valid() {
		text += fmt.Sprintf(" [%s, %s]", c.Low.text(digits), c.High.text(digits))
	}
	return text
}

// marks are the signs behind a mean.
func (c Cell) marks() string {
	text := ""
	if c.Tied {
		text += " ≈"
	}
	if c.Fewer {
		text += fmt.Sprintf(" * (%d)", c.N)
	}
	return text
}

// describe says what a method is.
func (m MethodResult) describe() string {
	parts := []string{m.Kind}
	if m.Settings != "" {
		parts = append(parts, m.Settings)
	}
	if m.Model != "" {
		parts = append(parts, "model "+m.Model[:min(12, len(m.Model))])
	}
	parts = append(parts, fmt.Sprintf("%d images", m.Images))
	return strings.Join(parts, ", ")
}

func (p Problem) String() string {
	if p.Method == "" {
		return p.Image + ": " + p.Reason
	}
	return p.Image + " with " + p.Method + ": " + p.Reason
}

// escapeCell keeps a text within its cell.
func escapeCell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// Text is the table for a terminal: means alone, and what is missing.
func (r *Report) Text() string {
	rows := [][]string{{""}}
	for _, c := range r.Columns {
		rows[0] = append(rows[0], c.heading())
	}
	for _, m := range r.Methods {
		row := []string{m.Name}
		for i, c := range m.Cells {
			row = append(row, c.Mean.text(r.Columns[i].Digits)+c.marks())
		}
		rows = append(rows, row)
	}
	text := r.lead() + "\n\n" + aligned(rows)
	if list := r.networkNotes(); len(list) > 0 {
		text += "\n" + strings.Join(list, "\n") + "\n"
	}
	if r.Accuracy != nil {
		text += "\n" + r.Accuracy.text()
	}
	return text
}

// aligned writes rows in columns.
func aligned(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, text := range row {
			line += text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
