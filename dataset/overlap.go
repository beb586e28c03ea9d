package dataset

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/resample"
)

// Pair is an image held out and one trained on that look alike.
type Pair struct {
	Held, Trained string // names, as in [Set.Names]
	// Correlation is that of the two images' colours after reduction to 32x32 pixels:
	// 1 for the same picture, whatever its brightness and contrast.
	Correlation float64
	// Mirrored tells that one is the other's mirror image.
	Mirrored bool
}

// thumbSide is the side of the pictures that are compared. Faces cropped alike
// correlate with 0.9 when reduced further.
const thumbSide = 32

// rounding is how much of a correlation may be lost to it.
const rounding = 1e-6

// Overlap finds for each image held out those trained on that correlate with it by
// at least the threshold (0 to 1), as they are or mirrored, most alike first. Such
// pairs are the same photograph, or the same moment, and an image that was trained
// on says little about images that were not. Images that cannot be read are left out.
// onDone, if not nil, is told the share that is done.
func Overlap(ctx context.Context, trained, held []string, threshold float64, threads int, onDone func(share float64)) ([]Pair, error) {
	if !(threshold > 0 && threshold <= 1) {
		return nil, fmt.Errorf("compare images: a threshold of %v: want more than 0, at most 1", threshold)
	}
	sets := make([][]source, 2)
	total := 0
	for i, paths := range [][]string{trained, held} {
		var err error
		if sets[i], err = list(paths); err != nil {
			return nil, fmt.Errorf("compare images: %w", err)
		}
		total += len(sets[i])
	}
	var mu sync.Mutex
	done := 0
	tick := func() {
		mu.Lock()
		defer mu.Unlock()
		if done++; onDone != nil {
			onDone(float64(done) / float64(total))
		}
	}
	ours, theirs := thumbs(ctx, sets[0], threads, tick), thumbs(ctx, sets[1], threads, tick)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found := make([][]Pair, len(theirs))
	parallel.For(threads, len(theirs), func(i int) { found[i] = alike(sets[1][i].name, theirs[i], sets[0], ours, threshold) })
	pairs := slices.Concat(found...)
	slices.SortStableFunc(pairs, func(a, b Pair) int { return cmp.Compare(b.Correlation, a.Correlation) })
	return pairs, nil
}

// alike compares one image with all others.
func alike(name string, held []float32, sources []source, thumbs [][]float32, threshold float64) []Pair {
	if held == nil {
		return nil
	}
	var pairs []Pair
	mirrored := mirrorThumb(held)
	for i, t := range thumbs {
		if t == nil {
			continue
		}
		straight, turned := dot(held, t), dot(mirrored, t)
		if c := max(straight, turned); c >= threshold-rounding {
			pairs = append(pairs, Pair{name, sources[i].name, c, turned > straight})
		}
	}
	return pairs
}

// thumbs reduces images; those that cannot be read, or have one colour, are nil.
func thumbs(ctx context.Context, sources []source, threads int, tick func()) [][]float32 {
	out := make([][]float32, len(sources))
	parallel.For(threads, len(sources), func(i int) {
		defer tick()
		if ctx.Err() != nil {
			return
		}
		if data, err := sources[i].read(); err == nil {
			if p, err := decode(data, sources[i].name); err == nil {
				out[i] = p.thumb()
			}
		}
	})
	return out
}

// thumb is the image at 32x32 pixels, each channel with a mean of 0, all with a norm
// of 1.
func (p *photo) thumb() []float32 {
	small := make([]uint8, thumbSide*thumbSide*3)
	if resample.Resize8(small, p.pix, thumbSide, thumbSide, p.height, p.width, 3, resample.Bicubic, 1) != nil {
		return nil
	}
	var mean [3]float64
	for i, v := range small {
		mean[i%3] += float64(v) / (thumbSide * thumbSide)
	}
	out, sum := make([]float32, len(small)), 0.0
	for i, v := range small {
		d := float64(v) - mean[i%3]
		out[i] = float32(d)
		sum += d * d
	}
	if sum == 0 {
		return nil
	}
	for i := range out {
		out[i] *= float32(1 / math.Sqrt(sum))
	}
	return out
}

func mirrorThumb(t []float32) []float32 {
	out := make([]float32, len(t))
	for row := range thumbSide {
		for x := range thumbSide {
			copy(out[(row*thumbSide+x)*3:][:3], t[(row*thumbSide+thumbSide-1-x)*3:][:3])
		}
	}
	return out
}

// dot is the correlation of two thumbs, whose norms are 1 but for rounding.
func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return min(max(sum, -1), 1)
}

// ReadNames reads a list of names, one a line. Empty lines and what follows a # at
// the beginning of a line mean nothing; neither does what follows a tab.
func ReadNames(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read list of images: %w", err)
	}
	defer f.Close()
	var names []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), "\t")
		if name = strings.TrimSpace(name); name != "" && !strings.HasPrefix(name, "#") {
			names = append(names, name)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read list of images %s: %w", path, err)
	}
	return names, nil
}

// exclude takes images out of a list by their names. A name that is not there is an
// error: the list is that of other images.
func exclude(sources []source, names []string) ([]source, error) {
	found := map[string]bool{} // by name to leave out
	for _, name := range names {
		found[name] = false
	}
	kept := slices.DeleteFunc(slices.Clone(sources), func(s source) bool {
		_, out := found[s.name]
		if out {
			found[s.name] = true // as often as it is listed
		}
		return out
	})
	maps.DeleteFunc(found, func(_ string, there bool) bool { return there })
	if len(found) > 0 {
		return nil, fmt.Errorf("%d of %d images to leave out are not there, such as %s", len(found), len(names), slices.Min(slices.Collect(maps.Keys(found))))
	}
	if len(kept) == 0 {
		return nil, errors.New("all images are to be left out")
	}
	return kept, nil
}
