package jobs

import (
	"testing"
)

// A store that is opened again with less room, or with the default after it was given
// more, keeps what it has.
func TestReopenedWithOtherSize(t *testing.T) {
	for name, sizes := range map[string][2]int64{"less": {8 << 30, 1 << 20}, "default": {64 << 30, 0}, "more": {1 << 20, 64 << 30}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := quick(dir)
			o.MaxBytes = sizes[0]
			q := openQueue(t, o)
			j := submit(t, q, 1)
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			o.MaxBytes = sizes[1]
			q = openQueue(t, o)
			if _, _, err := q.Input(t.Context(), j.ID); err != nil {
				t.Fatal("the input is lost:", err)
			}
			work(t, q, Worker{Do: echo})
			if j = await(t, q, j.ID); j.State != Completed {
				t.Error(j.State, j.Fault)
			}
		})
	}
}
