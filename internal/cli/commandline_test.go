package cli

import "testing"

func TestCommandLine(t *testing.T) {
	s := &streams{args: []string{"train", "--data", "my photos", "--set", "data.dirs=[\"a\"]", "it's", "", "Größe/x_1.png"}}
	want := `sr3 train --data 'my photos' --set 'data.dirs=["a"]' 'it'\''s' '' Größe/x_1.png`
	if got := s.commandLine(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
