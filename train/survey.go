package train

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/model"
)

// alwaysVerified is the size of a data set, in bytes, up to which its images are hashed without being asked for.
const alwaysVerified = 4 << 30

// survey finds out, beside the training, where the images come from. A nil survey knows nothing.
type survey struct {
	manifests   []*dataset.Manifest
	train, held *dataset.Set // held may be nil
	verify      bool
	folders     string // names of what was trained on, for want of sources
	heldFolders string

	cancel context.CancelFunc
	done   chan struct{}

	// what was found; read when done is closed
	sources, heldFrom []model.CardSource
	notes, warnings   []string
	warned            bool
}

// startSurvey begins to look at the images of a run. A manifest that was named must be readable; of those found beside
// the images, one that is none is reported and left out.
func startSurvey(r *run) (*survey, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &survey{train: r.drawer.set, verify: r.cfg.Data.Verify, cancel: cancel, done: make(chan struct{}),
		folders: baseNames(r.cfg.Data.Dirs), heldFolders: baseNames(r.cfg.Data.Val)}
	if r.sampler.val != nil {
		s.held = r.sampler.val.set
	}
	if err := s.openManifests(r); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	return s, nil
}

func (s *survey) openManifests(r *run) error {
	if file := r.cfg.Data.Manifest; file != "" {
		m, err := dataset.ReadManifest(file)
		if err != nil {
			return fmt.Errorf("data.manifest: %w", err)
		}
		s.manifests = append(s.manifests, m)
		return nil
	}
	for _, file := range dataset.FindManifests(slices.Concat(r.cfg.Data.Dirs, r.cfg.Data.Val)) {
		m, err := dataset.ReadManifest(file)
		if err != nil {
			r.journal.printf("left out a manifest: %v", err)
			continue
		}
		s.manifests = append(s.manifests, m)
	}
	return nil
}

// baseNames are the last parts of paths: where they lie is nobody's business.
func baseNames(paths []string) string {
	var names []string
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		names = append(names, filepath.Base(p))
	}
	return strings.Join(names, ", ")
}

// run looks at all images.
func (s *survey) run(ctx context.Context) {
	train, sources := s.look(ctx, s.train, "training", s.folders)
	var held *looked
	var from []model.CardSource
	if s.held != nil {
		held, from = s.look(ctx, s.held, "held-out", s.heldFolders)
	}
	if ctx.Err() != nil {
		return
	}
	s.sources, s.heldFrom = sources, from
	s.notes = append(s.notes, s.manifestNote())
	s.tell(train)
	if held != nil {
		s.tell(held)
		if n := held.shared(train); n > 0 {
			s.warnings = append(s.warnings, fmt.Sprintf("%d of the held-out images are among the training images too, so what they measure is too good.", n))
		}
	}
}

// manifestNote names the manifests.
func (s *survey) manifestNote() string {
	if len(s.manifests) == 0 {
		return "No manifest of the images was given, so their sources and licences are not known."
	}
	var names []string
	for _, m := range s.manifests {
		names = append(names, fmt.Sprintf("%s (SHA-256 %s)", filepath.Base(m.Path), m.SHA256))
	}
	return "Sources and licences are those of the manifest " + strings.Join(names, " and ") + "."
}

// looked is what became of the images of a set.
type looked struct {
	what      string // training, held-out
	images    int
	verified  bool // by SHA-256
	ids       map[[sha256.Size]byte]bool
	missing   []string // not in a manifest
	differing []string // there under another SHA-256
	unread    []string
}

// shared is the number of images that another set has too.
func (l *looked) shared(other *looked) (n int) {
	for id := range l.ids {
		if other.ids[id] {
			n++
		}
	}
	return n
}

// look identifies the images of a set and counts them by source.
func (s *survey) look(ctx context.Context, set *dataset.Set, what, folders string) (*looked, []model.CardSource) {
	files := set.Files()
	l := &looked{what: what, images: len(files), verified: s.verify || totalBytes(files) <= alwaysVerified, ids: map[[sha256.Size]byte]bool{}}
	if len(s.manifests) == 0 {
		l.hash(ctx, set, files) // to find images in both sets
		return l, []model.CardSource{{Name: folders, Images: len(files)}}
	}
	count := map[model.CardSource]int{}
	for i, f := range files {
		if ctx.Err() != nil {
			return l, nil
		}
		count[s.source(l, set, i, f)]++
	}
	return l, ordered(count)
}

// hash identifies all images without looking for their sources.
func (l *looked) hash(ctx context.Context, set *dataset.Set, files []dataset.File) {
	for i := range files {
		if !l.verified || ctx.Err() != nil {
			return
		}
		if sum, err := set.SHA256(i); err == nil {
			l.ids[sum] = true
		}
	}
}

// source returns where an image comes from, and notes what is wrong with it.
func (s *survey) source(l *looked, set *dataset.Set, i int, f dataset.File) model.CardSource {
	if l.verified {
		sum, err := set.SHA256(i)
		if err != nil {
			l.unread = append(l.unread, f.Name)
			return model.CardSource{Name: "unknown"}
		}
		l.ids[sum] = true
		for _, m := range s.manifests {
			if row, ok := m.ByDigest(sum); ok {
				return sourceOf(row)
			}
		}
	}
	for _, m := range s.manifests {
		row, ok := m.ByName(f)
		switch {
		case ok && l.verified && row.SHA256 != "":
			l.differing = append(l.differing, f.Name)
			return model.CardSource{Name: "unknown"}
		case ok:
			return sourceOf(row)
		}
	}
	l.missing = append(l.missing, f.Name)
	return model.CardSource{Name: "unknown"}
}

func sourceOf(row dataset.ManifestRow) model.CardSource {
	s := model.CardSource{Name: cmp.Or(row.Where, row.Source, "unknown"), Licence: row.Licence}
	if strings.HasPrefix(s.Name, "github.com/") { // a place and a remark
		place, _, _ := strings.Cut(s.Name, " ")
		s.URL = "https://" + place
	}
	return s
}

func totalBytes(files []dataset.File) (n int64) {
	for _, f := range files {
		n += max(f.Bytes, 0)
	}
	return n
}

// ordered lists sources, the largest first.
func ordered(count map[model.CardSource]int) []model.CardSource {
	var list []model.CardSource
	for s, n := range count {
		s.Images = n
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b model.CardSource) int {
		return cmp.Or(cmp.Compare(b.Images, a.Images), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Licence, b.Licence))
	})
	return list
}

// tell turns what was seen into sentences.
func (s *survey) tell(l *looked) {
	if len(s.manifests) == 0 {
		return
	}
	warn := func(names []string, what string) {
		if len(names) > 0 {
			s.warnings = append(s.warnings, fmt.Sprintf("%d of %d %s images %s: %s.", len(names), l.images, l.what, what, someOf(names)))
		}
	}
	warn(l.missing, "are not in the manifest")
	warn(l.differing, "have another SHA-256 than the manifest says")
	warn(l.unread, "could not be read")
	switch {
	case !l.verified:
		s.notes = append(s.notes, fmt.Sprintf("The %d %s images were found in the manifest by their names; their contents were not compared (data.verify).", l.images-len(l.missing), l.what))
	case len(l.missing)+len(l.differing)+len(l.unread) == 0:
		s.notes = append(s.notes, fmt.Sprintf("All %d %s images have the SHA-256 of the manifest.", l.images, l.what))
	}
}

// someOf names a few.
func someOf(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:few], ", ") + " and others"
}

// finished reports whether all was seen.
func (s *survey) finished() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// report returns the sources of the training and the held-out images, and sentences about them.
func (s *survey) report() (train, held []model.CardSource, notes []string) {
	if s == nil {
		return nil, nil, nil
	}
	if !s.finished() {
		return nil, nil, []string{"The images were still being identified when this card was written; the next checkpoint's card tells of them."}
	}
	return s.sources, s.heldFrom, slices.Concat(s.notes, s.warnings)
}

// wait waits until all images were seen, or for the end of ctx.
func (s *survey) wait(ctx context.Context) {
	select {
	case <-s.done:
	case <-ctx.Done():
	}
}

// warn writes the warnings to the log, once.
func (s *survey) warn(j *journal) {
	if s == nil || !s.finished() {
		return
	}
	if s.warned {
		return
	}
	s.warned = true
	for _, w := range s.warnings {
		j.printf("images: %s", w)
	}
}

// close stops looking.
func (s *survey) close() {
	if s == nil {
		return
	}
	s.cancel()
	<-s.done
}
