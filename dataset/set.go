package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/philox"
)

// The ways to make an image fit the size of a crop, the values of Options.Fit.
const (
	// FitCrop cuts crops from images at their own resolution. Images with a side shorter than the crop are left out.
	FitCrop = "crop"
	// FitResize first reduces the image until its shorter side is the crop's, as the paper does with faces, and
	// leaves images out that would have to be enlarged. With square images nothing is drawn at random.
	FitResize = "resize"
)

// DefaultCacheBytes is how much memory decoded images may take unless Options say otherwise.
const DefaultCacheBytes = 1536 << 20

// Options say what a batch is made of.
type Options struct {
	// Size is the side of the high-resolution crops in pixels, a multiple of Scale.
	Size int
	// Scale is how many times smaller the low-resolution image is: 1 (the condition is
	// the crop itself, for those who use none) to 64.
	Scale int
	// Batch is the number of examples in a batch.
	Batch int
	// Seed is what all random choices follow from.
	Seed uint64
	// Fit is FitCrop or FitResize; empty means FitCrop.
	Fit string
	// Flip mirrors half of the examples left to right, Rotate turns them by 0, 90, 180 or 270 degrees.
	Flip, Rotate bool
	// Quantise rounds the enlarged low-resolution image to 8 bits, as data sets prepared as files have it.
	Quantise bool
	// Exclude names images to leave out, as in [Set.Names]; each must be there.
	Exclude []string
	// CacheBytes bounds the memory for decoded images; those that do not fit are decoded again every time. Zero means
	// DefaultCacheBytes.
	CacheBytes int64
	// Degrade is what the low-resolution images lose beside their size, as those of cameras and the web have; the zero
	// value is nothing. The high-resolution crops stay as they are.
	Degrade degrade.Settings
	// Augment, if set, changes the condition x (Size x Size RGB in [-1, 1], rows, columns, colours) of an example in
	// place: conditioning augmentation, such as the random blur of the paper's section 4.3. It may use nothing but its
	// arguments, so that examples stay a function of the seed. It is called on several goroutines.
	Augment func(x []float32, size int, random philox.Stream)
	// Enlarge, if set, makes the conditions of whole images instead of enlarging by bicubic, crop by crop: from the
	// low-resolution image of height x width RGB pixels, which has lost so much beside its size, it makes one Scale
	// times larger. It is called when an example first needs a version of an image, and once while that stays cached;
	// crops start at multiples of Scale, and are rounded to 8 bits. Quantise does not go with it.
	Enlarge func(low []uint8, height, width int, lost degrade.Amount) ([]uint8, error)
	// Versions is how many conditions Enlarge makes of an image of which Degrade takes something, each with losses of
	// its own; an example has one of them. 0 means 1. Each needs as much memory and time as the first, and room in the
	// cache is kept for all.
	Versions int
	// Report, if set, hears once of every image that is left out, and why. It is called on several goroutines.
	Report func(name string, reason error)
}

// Validate says which option is wrong.
func (o Options) Validate() error {
	switch {
	case o.Scale < 1 || o.Scale > 64:
		return fmt.Errorf("scale %d: want 1 to 64", o.Scale)
	case o.Size < o.Scale || o.Size > 4096 || o.Size%o.Scale != 0:
		return fmt.Errorf("crop size %d: want a multiple of the scale %d, at most 4096", o.Size, o.Scale)
	case o.Batch < 1 || o.Batch > 1<<16:
		return fmt.Errorf("batch of %d: want 1 to 65536", o.Batch)
	case o.Fit != FitCrop && o.Fit != FitResize:
		return fmt.Errorf("fit %q: want %s or %s", o.Fit, FitCrop, FitResize)
	case o.Enlarge != nil && o.Quantise:
		return errors.New("conditions made of whole images are in 8 bits already: they cannot be quantised")
	case o.Versions < 0 || o.Versions > MaxVersions:
		return fmt.Errorf("%d versions of a condition: want 0 to %d", o.Versions, MaxVersions)
	case o.CacheBytes < 0:
		return fmt.Errorf("cache of %d bytes: want 0 or more", o.CacheBytes)
	}
	return o.Degrade.Validate()
}

// MaxVersions bounds Options.Versions: streams of random numbers keep 16 bits for them.
const MaxVersions = 1 << 16

// Set is a collection of images to train on. Its methods may be called by several goroutines.
type Set struct {
	opt     Options
	sources []source

	mu     sync.Mutex
	photos []*photo // cached images by source
	bad    []bool   // sources that are left out
	badN   int
	cached int64
	epoch  int // the pass that order belongs to, -1 for none
	order  []int
}

// Open lists the images under paths: folders (searched recursively, hidden files left out), .tar files and images.
// It decodes until it has found a usable one; if there is none, the error says what was looked for and why the first
// images were left out.
func Open(paths []string, opt Options) (*Set, error) {
	if opt.Fit == "" {
		opt.Fit = FitCrop
	}
	if opt.CacheBytes == 0 {
		opt.CacheBytes = DefaultCacheBytes
	}
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	sources, err := list(paths)
	if err == nil && len(opt.Exclude) > 0 {
		sources, err = exclude(sources, opt.Exclude)
	}
	if err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	s := &Set{opt: opt, sources: sources, photos: make([]*photo, len(sources)), bad: make([]bool, len(sources)), epoch: -1}
	if err := s.probe(); err != nil {
		return nil, fmt.Errorf("open data set %s: %w", strings.Join(paths, ", "), err)
	}
	return s, nil
}

// Len is the number of images listed, including those that will turn out to be unusable.
func (s *Set) Len() int { return len(s.sources) }

// Names returns the names of the listed images in order: their paths within the folders, with the folder in front where
// several have an image of that name.
func (s *Set) Names() []string { return names(s.sources) }

// probe makes sure that there is a usable image.
func (s *Set) probe() error {
	var why []error
	for i := range s.sources {
		_, _, err := s.pair(i, 0)
		if err == nil {
			return nil
		}
		if len(why) < 3 {
			why = append(why, fmt.Errorf("%s: %w", s.sources[i].name, err))
		}
	}
	return fmt.Errorf("none of %d images is usable; wanted are images of at least %dx%d pixels that can be decoded: %w",
		len(s.sources), s.opt.Size, s.opt.Size, errors.Join(why...))
}

// errLeftOut is what a source gives that was reported before.
var errLeftOut = errors.New("left out")

// photo returns source i decoded, from the cache if it is there.
func (s *Set) photo(i int) (*photo, error) {
	s.mu.Lock()
	p, bad := s.photos[i], s.bad[i]
	s.mu.Unlock()
	if bad {
		return nil, errLeftOut
	}
	if p != nil {
		return p, nil
	}
	p, err := s.load(i)
	if err != nil {
		s.leaveOut(i, err)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Every image is asked for equally often, so keeping the first ones that fit is as good as any policy.
	if size := p.bytes(); s.photos[i] == nil && s.cached+size <= s.opt.CacheBytes {
		s.photos[i] = p
		s.cached += size
	}
	return p, nil
}

// leaveOut makes source i one that is not used, and reports it once.
func (s *Set) leaveOut(i int, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[i] {
		return
	}
	s.bad[i] = true
	s.badN++
	if s.opt.Report != nil {
		s.opt.Report(s.sources[i].name, reason)
	}
}

// pair returns source i and, where whole images are enlarged, one of its conditions.
func (s *Set) pair(i, version int) (*photo, condition, error) {
	p, err := s.photo(i)
	if err != nil || len(p.conditions) == 0 {
		return p, condition{}, err
	}
	c, err := p.conditions[version]()
	if err != nil {
		s.leaveOut(i, err)
	}
	return p, c, err
}

// load reads, decodes and fits image i.
func (s *Set) load(i int) (*photo, error) {
	src := s.sources[i]
	data, err := src.read()
	if err != nil {
		return nil, err
	}
	p, err := decode(data, src.name)
	if err != nil {
		return nil, err
	}
	if min(p.height, p.width) < s.opt.Size {
		return nil, fmt.Errorf("%dx%d pixels are too few for crops of %dx%d", p.width, p.height, s.opt.Size, s.opt.Size)
	}
	if s.opt.Fit == FitResize {
		if p, err = p.reduce(s.opt.Size); err != nil {
			return nil, err
		}
	}
	if s.opt.Enlarge != nil {
		p = s.enlarge(p, i)
	}
	return p, nil
}

// The streams of random numbers under the seed: the top byte says what for, the rest which example or pass.
const (
	streamExample = 1 << 56
	streamOrder   = 2 << 56
	streamAugment = 3 << 56
	streamDegrade = 4 << 56 // what is lost
	streamSensor  = 5 << 56 // the noise
	streamPhase   = 6 << 56 // where the blocks of JPEG begin
)

// pick returns the image of the q-th example of the run, and its condition if it has any. Every pass over the set shows
// each image once, in an order of its own; an unusable image is replaced by one drawn at random.
func (s *Set) pick(q uint64, random philox.Stream) (*photo, condition, error) {
	n, version := len(s.sources), 0
	if k := s.versions(); k > 0 {
		version = random.Intn(drawVersion, k)
	}
	i := s.orderOf(int(q / uint64(n)))[q%uint64(n)]
	p, c, err := s.pair(i, version)
	for try := uint64(0); err != nil && try < 64; try++ {
		i = random.Intn(drawRetry+try, n)
		p, c, err = s.pair(i, version)
	}
	for step := 1; err != nil && step <= n; step++ { // nearly all are unusable
		p, c, err = s.pair((i+step)%n, version)
	}
	if err != nil {
		return nil, c, fmt.Errorf("no usable image is left of %d: %w", n, err)
	}
	return p, c, nil
}

// orderOf returns the order of the images in a pass.
func (s *Set) orderOf(epoch int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		order := make([]int, len(s.sources))
		random := philox.New(s.opt.Seed, streamOrder|uint64(epoch))
		for i := range order { // Fisher and Yates, inside out
			j := random.Intn(uint64(i), i+1)
			order[i], order[j] = order[j], i
		}
		s.epoch, s.order = epoch, order
	}
	return s.order
}

// Unusable returns the names of the images left out so far, in order.
func (s *Set) Unusable() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, s.badN)
	for i, bad := range s.bad {
		if bad {
			names = append(names, s.sources[i].name)
		}
	}
	return slices.Clip(names)
}
