package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/model"
)

func TestWithSection(t *testing.T) {
	for _, c := range []struct{ card, want string }{
		{"", "## S\n\nnew\n"},
		{"# A\n\ntext\n", "# A\n\ntext\n\n## S\n\nnew\n"},
		{"# A\n\n## S\n\nold\n\n- of it\n", "# A\n\n## S\n\nnew\n"},
		{"## S\n\nold\n\n## T\n\nmore\n", "## S\n\nnew\n\n## T\n\nmore\n"},
		{"# A\n\n## Sun\n\nkept\n\n## S\nold\n## T\n", "# A\n\n## Sun\n\nkept\n\n## S\n\nnew\n\n## T\n"},
	} {
		if got := withSection(c.card, "S", " new\n\n"); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.card, got, c.want)
		}
	}
}

// A table goes into the record where there is one, so that more can be added later, and comes once.
func TestAddTable(t *testing.T) {
	table := model.CardTable{Title: "T", Header: []string{"a", "b"}, Rows: [][]string{{"1", "2"}}, Notes: []string{"Said."}}
	for _, hand := range []bool{true, false} {
		m := &model.Model{Config: model.Config{Name: "m"}, Card: "# By hand\n"}
		if !hand {
			if err := m.SetRecord(model.Card{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := addTable(m, table); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Count(m.Card, "## T\n") != 1 || !strings.Contains(m.Card, "| 1 | 2 |") || !strings.Contains(m.Card, "Said.") {
			t.Errorf("card\n%s", m.Card)
		}
		if err := m.CheckRecord(); hand != errors.Is(err, model.ErrNoRecord) {
			t.Errorf("by hand %v: %v", hand, err)
		}
	}
}
