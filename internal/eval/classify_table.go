package eval

import (
	"fmt"
	"strings"
)

// Title is the table's heading.
func (a *Accuracy) Title() string { return "Errors of the classifier " + a.Network }

// Lead says what was done. The paper's figures are no comparison: other images,
// another classifier.
func (a *Accuracy) Lead() string {
	n := a.Rows[0].Top1.N
	images := fmt.Sprintf("%d images", n)
	switch {
	case n == 1:
		images = "1 image"
	case a.Own:
		images = fmt.Sprintf("Up to %d of %d images, each row on its own,", n, a.Images)
	case n != a.Images:
		images = fmt.Sprintf("The %d of %d images that all rows have", n, a.Images)
	}
	return images + " by the protocol of the paper's table 3: crops of 224 pixels, reduced to 56, enlarged to 64 by bicubic and to 256 by the method, brought to the classifier's side and classified. Weights " +
		a.Weights + ". Only rows of one classifier and one set of images are comparable."
}

// Headings are those of the columns.
func (a *Accuracy) Headings() (list []string) {
	for _, c := range accuracyColumns() {
		list = append(list, c.heading())
	}
	return list
}

// Texts are the row's cells with their intervals.
func (r AccuracyRow) Texts() (list []string) {
	for k, cell := range []Cell{r.Top1, r.Top5} {
		list = append(list, strings.ReplaceAll(cell.markdown(accuracyColumns()[k].Digits), "**", ""))
	}
	return list
}

// markdown is a section of the table's file.
func (a *Accuracy) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n| method | %s |\n|---|---|---|\n", a.Title(), a.Lead(), strings.Join(a.Headings(), " | "))
	for _, r := range a.Rows {
		fmt.Fprintf(&b, "| %s |", escapeCell(r.Method))
		for k, cell := range []Cell{r.Top1, r.Top5} {
			fmt.Fprintf(&b, " %s |", cell.markdown(accuracyColumns()[k].Digits))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// text is the table for a terminal.
func (a *Accuracy) text() string {
	rows := [][]string{append([]string{""}, a.Headings()...)}
	for _, r := range a.Rows {
		row := []string{r.Method}
		for k, cell := range []Cell{r.Top1, r.Top5} {
			row = append(row, cell.Mean.text(accuracyColumns()[k].Digits)+cell.marks())
		}
		rows = append(rows, row)
	}
	return a.Title() + ": " + a.Lead() + "\n\n" + aligned(rows)
}
