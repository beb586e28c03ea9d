package cli

import "testing"

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
