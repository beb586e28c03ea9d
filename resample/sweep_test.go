package resample_test

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"os"
	"testing"

	"github.com/sr3-go/sr3/resample"
)

// TestPillowSweep compares many sizes, channel counts and kernels with checksums
// of Pillow's output; testdata/pillow_sweep.py made them.
func TestPillowSweep(t *testing.T) {
	f, err := os.Open("testdata/pillow_sweep.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		var name string
		var seed, want uint32
		var c, sh, sw, dh, dw int
		line := []byte(s.Text())
		for i, b := range line {
			if b == ',' {
				line[i] = ' '
			}
		}
		if _, err := fmt.Sscanf(string(line), "%s %d %d %d %d %d %d %x", &name, &c, &seed, &sh, &sw, &dh, &dw, &want); err != nil {
			t.Fatalf("line %d: %v", lines+1, err)
		}
		k, err := resample.ParseKernel(name)
		if err != nil {
			t.Fatal(err)
		}
		src, dst := make([]uint8, sh*sw*c), make([]uint8, dh*dw*c)
		x := seed
		for i := range src {
			x = x*1664525 + 1013904223
			src[i] = uint8(x >> 24)
		}
		if err := resample.Resize8(dst, src, dh, dw, sh, sw, c, k, 2); err != nil {
			t.Fatal(err)
		}
		if got := crc32.ChecksumIEEE(dst); got != want {
			t.Errorf("%s: checksum %08x", s.Text(), got)
		}
	}
	if lines < 500 {
		t.Errorf("only %d cases", lines)
	}
}
