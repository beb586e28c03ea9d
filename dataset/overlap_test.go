package dataset

import (
	"context"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scene is a picture of waves, other ones for each id.
func scene(id int) *photo {
	p := &photo{height: 40, width: 40, pix: make([]uint8, 40*40*3)}
	for i := range p.pix {
		x, y, c := i/3%40, i/3/40, i%3
		p.pix[i] = uint8(128 + 100*math.Sin(float64(x*(id+1)+y*(7-id)+c*id)/9))
	}
	return p
}

// file is the picture as PNG.
func (p *photo) file(t *testing.T) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, p.width, p.height))
	for i := range p.width * p.height {
		copy(img.Pix[i*4:], append(slices.Clone(p.pix[i*3:i*3+3]), 255))
	}
	return encodePNG(t, img)
}

// TestOverlap finds the same picture brighter, larger and mirrored among others, and
// nothing else.
func TestOverlap(t *testing.T) {
	trained, held := t.TempDir(), t.TempDir()
	for i := range 6 {
		write(t, filepath.Join(trained, string(rune('a'+i))+".png"), scene(i).file(t))
	}
	same := scene(2)
	for i := range same.pix {
		same.pix[i] = same.pix[i]/2 + 60
	}
	write(t, filepath.Join(held, "dim.png"), same.file(t))
	mirrored := scene(4)
	mirrored.mirror()
	write(t, filepath.Join(held, "mirrored.png"), mirrored.file(t))
	write(t, filepath.Join(held, "other.png"), scene(9).file(t))
	write(t, filepath.Join(held, "broken.png"), []byte("nothing"))
	shares := 0
	pairs, err := Overlap(t.Context(), []string{trained}, []string{held}, 0.99, 2, func(float64) { shares++ })
	if err != nil {
		t.Fatal(err)
	}
	if len(pairs) != 2 || shares != 10 {
		t.Fatalf("found %v after %d images", pairs, shares)
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Held, b.Held) })
	if p := pairs[0]; p.Held != "dim.png" || p.Trained != "c.png" || p.Mirrored || p.Correlation < 0.99 || p.Correlation > 1 {
		t.Errorf("found %+v", p)
	}
	if p := pairs[1]; p.Held != "mirrored.png" || p.Trained != "e.png" || !p.Mirrored {
		t.Errorf("found %+v", p)
	}
	if _, err := Overlap(t.Context(), []string{trained}, []string{held}, 0, 1, nil); err == nil {
		t.Error("a threshold of 0 is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Overlap(ctx, []string{trained}, []string{held}, 0.9, 1, nil); err == nil {
		t.Error("a cancelled comparison gives a result")
	}
}

// TestExclude leaves out what a list names, and refuses a list of other images.
func TestExclude(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.png", "b.png", "c.png"} {
		write(t, filepath.Join(dir, name), encodePNG(t, picture(40, 40, 0)))
	}
	file := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(file, []byte("# held out too\n\nb.png\t0.97\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := options()
	var err error
	if opt.Exclude, err = ReadNames(file); err != nil {
		t.Fatal(err)
	}
	s, err := Open([]string{dir}, opt)
	if err != nil || !slices.Equal(s.Names(), []string{"a.png", "c.png"}) {
		t.Fatalf("%v, %v", s.Names(), err)
	}
	opt.Exclude = []string{"b.png", "x.png"}
	if _, err := Open([]string{dir}, opt); err == nil || !strings.Contains(err.Error(), "x.png") {
		t.Errorf("an unknown name gives %v", err)
	}
	opt.Exclude = []string{"a.png", "b.png", "c.png"}
	if _, err := Open([]string{dir}, opt); err == nil {
		t.Error("nothing is left, and that is no error")
	}
	if _, err := ReadNames(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing list is read")
	}
}

// TestExcludeAcrossFolders: where two folders have an image of one name each, a list leaves out the one it means, and it
// leaves out every listing of a folder that is given twice.
func TestExcludeAcrossFolders(t *testing.T) {
	root, held := t.TempDir(), t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	for i, dir := range []string{a, b} {
		write(t, filepath.Join(dir, "0001.png"), scene(i).file(t))
		write(t, filepath.Join(dir, "000"+string(rune('2'+i))+".png"), scene(4+i).file(t))
	}
	write(t, filepath.Join(held, "same.png"), scene(1).file(t))
	for _, dir := range []string{a, b} {
		writeTar(t, filepath.Join(root, filepath.Base(dir)+"-tar", "set.tar"), dir, []string{"0001.png"})
	}
	inA, inB := filepath.Join(root, "a-tar", "set.tar"), filepath.Join(root, "b-tar", "set.tar")
	for _, paths := range [][]string{{a, b}, {inA, inB}, {b, b}, {a, b, a, b}, {filepath.Join(a, "0001.png"), filepath.Join(b, "0001.png")}} {
		pairs, err := Overlap(t.Context(), paths, []string{held}, 1, 2, nil)
		if err != nil || len(pairs) == 0 {
			t.Fatalf("%v: found %v, %v", paths, pairs, err)
		}
		sources, err := list(paths)
		if err != nil {
			t.Fatal(err)
		}
		var unwanted []string
		for _, p := range pairs {
			unwanted = append(unwanted, p.Trained)
		}
		kept, err := exclude(sources, unwanted)
		if err != nil {
			t.Fatalf("%v: %v", paths, err)
		}
		if slices.ContainsFunc(kept, func(s source) bool { return s.path == filepath.Join(b, "0001.png") || s.path == inB }) || len(kept) != len(sources)-len(pairs) {
			t.Errorf("%v without %v: %v is left of %v", paths, unwanted, kept, sources)
		}
	}
}
