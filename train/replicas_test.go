package train

import "testing"

// TestReplicasDoNotMatter: how many micro-batches run side by side changes no bit, odd remainders included, with dropout
// and whatever the threads.
func TestReplicasDoNotMatter(t *testing.T) {
	dir := images(t)
	run := func(sets ...string) string {
		out := t.TempDir()
		cfg := tinyConfig(t, append([]string{"train.steps=4", "train.batch=6", "train.micro_batch=2"}, sets...)...)
		mustRun(t, Options{Config: cfg, OutDir: out, Data: []string{dir}})
		return out
	}
	want := readState(t, run("train.threads=1"))
	for _, sets := range [][]string{{"train.replicas=2", "train.threads=2"}, {"train.replicas=3", "train.threads=1"}, {"train.replicas=2", "train.threads=5"}} {
		sameState(t, want, readState(t, run(sets...)))
	}
	if _, err := LoadConfig("", append(tinySets(), "train.replicas=2")); err == nil {
		t.Error("replicas without micro-batches are accepted")
	}
}
