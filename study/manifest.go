package study

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/internal/runfiles"
)

// Names in a study's folder.
const (
	ManifestFile = "study.toml"
	ImagesFolder = "images"
	answersFile  = "answers.db"
)

// format is the version of the folder's layout.
const format = 1

// Bounds of a manifest.
const (
	maxManifestBytes = 16 << 20
	maxText          = 4000      // bytes of a sentence
	maxName          = 200       // bytes of a name
	maxTime          = 600_000   // milliseconds
	maxImageSide     = 4096      // pixels
	maxImagePixels   = 4_000_000 // of one image
)

// Manifest is the content of study.toml. Texts may be edited before the study
// begins; what decides who sees what may not be changed once somebody took part (the
// store refuses).
type Manifest struct {
	Format int    `toml:"format"`
	Title  string `toml:"title"` // shown to subjects
	// Task is 1 (with the low-resolution image) or 2.
	Task foolrate.Task `toml:"task"`
	// Question is what subjects are asked; empty means the paper's.
	Question string `toml:"question"`
	// Consent is the sentence that a subject agrees to; Contact says whom to ask.
	Consent string `toml:"consent"`
	Contact string `toml:"contact"`
	// DisplayMS is how long images are shown, in milliseconds; 0: until answered.
	DisplayMS int `toml:"display_ms"`
	// EarlyAnswers lets subjects answer while the images are still shown.
	EarlyAnswers bool `toml:"early_answers"`
	// TimeoutMS is how long after the images vanish (or appear, if they do not vanish)
	// an answer is waited for; 0: for ever.
	TimeoutMS int `toml:"timeout_ms"`
	// Zoom is how many times larger images are shown where the screen allows it.
	Zoom int `toml:"zoom"`
	// The design; see [foolrate.Design].
	Seed       uint64              `toml:"seed"`
	PerSubject int                 `toml:"per_subject"`
	Catch      int                 `toml:"catch"`
	Allocation foolrate.Allocation `toml:"allocation"`
	// MaxCatchErrors is the rule of exclusion that was fixed beforehand; reports use
	// it unless told otherwise. Negative: nobody is excluded.
	MaxCatchErrors int `toml:"max_catch_errors"`

	Methods []MethodEntry `toml:"methods"`
	Images  []ImageEntry  `toml:"images"`
}

// MethodEntry is one method of the manifest.
type MethodEntry struct {
	Name     string `toml:"name"`
	Settings string `toml:"settings"` // for people
}

// ImageEntry is one image of the manifest.
type ImageEntry struct {
	Name   string `toml:"name"`
	Width  int    `toml:"width"` // of the original and of all results, in pixels
	Height int    `toml:"height"`
	// SHA256 of the files, in the order original, low, catch, then the methods.
	SHA256 []string `toml:"sha256"`
}

// defaultConsent says what is true of this program.
const defaultConsent = "I take part of my own free will, I may stop at any time, and I agree that my answers and how long they took are stored without my name and published."

// NewManifest returns a manifest with the paper's settings: 3 seconds, half of the
// images for each subject but 50 at most, methods kept apart.
func NewManifest() Manifest {
	return Manifest{Format: format, Title: "Which one is the photograph?", Task: foolrate.WithInput, Consent: defaultConsent,
		DisplayMS: 3000, Zoom: 3, Allocation: foolrate.Separate, MaxCatchErrors: 1}
}

// Design is what decides who sees what.
func (m *Manifest) Design() foolrate.Design {
	return foolrate.Design{Seed: m.Seed, Images: len(m.Images), Methods: len(m.Methods), PerSubject: m.PerSubject, Catch: m.Catch, Allocation: m.Allocation}
}

// MethodNames are the names of the methods in order.
func (m *Manifest) MethodNames() []string {
	names := make([]string, len(m.Methods))
	for i, e := range m.Methods {
		names[i] = e.Name
	}
	return names
}

// Asked is the question that subjects see.
func (m *Manifest) Asked() string {
	if m.Question != "" {
		return m.Question
	}
	return m.Task.Question()
}

// CheckFor finds out, before the images are made, whether the settings go together
// when there are n of them.
func (m *Manifest) CheckFor(n int) error {
	d := m.Design()
	d.Images = n
	if d.PerSubject == 0 {
		d.PerSubject = defaultPerSubject(n, m.Catch)
	}
	if err := d.Validate(); err != nil {
		return err
	}
	if err := m.validateTexts(); err != nil {
		return err
	}
	return m.validateLists()
}

// defaultPerSubject is half of the images, 50 at most, as in the paper.
func defaultPerSubject(images, catch int) int { return max(1, min(50, (images+1)/2, images-catch)) }

// Validate checks the manifest alone, not the images.
func (m *Manifest) Validate() error {
	if err := m.Design().Validate(); err != nil {
		return err
	}
	if err := m.validateTexts(); err != nil {
		return err
	}
	return m.validateLists()
}

func (m *Manifest) validateTexts() error {
	for _, t := range []struct{ name, text string }{{"title", m.Title}, {"question", m.Question}, {"consent", m.Consent}, {"contact", m.Contact}} {
		if len(t.text) > maxText || !utf8.ValidString(t.text) {
			return fmt.Errorf("%s: want at most %d bytes of UTF-8", t.name, maxText)
		}
	}
	switch {
	case m.Format != format:
		return fmt.Errorf("format %d: this program reads format %d", m.Format, format)
	case strings.TrimSpace(m.Consent) == "":
		return errors.New("consent: subjects must be asked for their consent")
	case m.Task != foolrate.WithInput && m.Task != foolrate.WithoutInput:
		return fmt.Errorf("task %d: want 1 (with the low-resolution image) or 2 (without)", m.Task)
	case m.DisplayMS < 0 || m.DisplayMS > maxTime || m.DisplayMS > 0 && m.DisplayMS < 50:
		return fmt.Errorf("display_ms %d: want 50 to %d, or 0 for images that stay until the answer", m.DisplayMS, maxTime)
	case m.TimeoutMS < 0 || m.TimeoutMS > maxTime || m.TimeoutMS > 0 && m.TimeoutMS < 500:
		return fmt.Errorf("timeout_ms %d: want 500 to %d, or 0 for no limit", m.TimeoutMS, maxTime)
	case m.Seed > math.MaxInt64:
		return fmt.Errorf("seed %d: want at most %d", m.Seed, int64(math.MaxInt64))
	case m.Zoom < 1 || m.Zoom > 16:
		return fmt.Errorf("zoom %d: want 1 to 16", m.Zoom)
	}
	return nil
}

func (m *Manifest) validateLists() error {
	seen := map[string]bool{}
	for i, e := range m.Methods {
		if err := checkName(e.Name, seen); err != nil {
			return fmt.Errorf("method %d: %w", i+1, err)
		}
	}
	clear(seen)
	for i, e := range m.Images {
		if err := checkName(e.Name, seen); err != nil {
			return fmt.Errorf("image %d: %w", i+1, err)
		}
		if err := checkSize(e.Width, e.Height); err != nil {
			return fmt.Errorf("image %s: %w", e.Name, err)
		}
		if want := firstMethod + len(m.Methods); len(e.SHA256) != want {
			return fmt.Errorf("image %s: %d digests, want %d", e.Name, len(e.SHA256), want)
		}
	}
	return nil
}

func checkName(name string, seen map[string]bool) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("has no name")
	case len(name) > maxName || !utf8.ValidString(name):
		return fmt.Errorf("name of %d bytes: want at most %d of UTF-8", len(name), maxName)
	case seen[name]:
		return fmt.Errorf("the name %q comes twice", name)
	}
	seen[name] = true
	return nil
}

func checkSize(w, h int) error {
	if w < 8 || h < 8 || w > maxImageSide || h > maxImageSide || w*h > maxImagePixels {
		return fmt.Errorf("%dx%d pixels: want sides of 8 to %d and at most %d pixels", w, h, maxImageSide, maxImagePixels)
	}
	return nil
}

// fingerprint identifies what decides who sees what, and how. Titles and texts are
// not in it.
func (m *Manifest) fingerprint() string {
	b, err := json.Marshal([]any{format, m.Task, m.DisplayMS, m.EarlyAnswers, m.TimeoutMS, m.Asked(), m.Zoom, m.Design(), m.MethodNames(), m.Images})
	if err != nil {
		panic(err) // plain values
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Indices of an image's files; methods follow.
const (
	fileOriginal = iota
	fileLow
	fileCatch
	firstMethod
)

// fileName is the name of a file in images/. Names that people gave are in the
// manifest alone.
func fileName(image, kind int) string {
	switch kind {
	case fileOriginal:
		return fmt.Sprintf("%05d-original.png", image)
	case fileLow:
		return fmt.Sprintf("%05d-low.png", image)
	case fileCatch:
		return fmt.Sprintf("%05d-catch.png", image)
	}
	return fmt.Sprintf("%05d-method-%02d.png", image, kind-firstMethod)
}

// Folder is a study on disk.
type Folder struct {
	Dir      string
	Manifest Manifest
}

// Open reads the manifest of a study and looks whether all images are there. It does
// not read them; see [Folder.Verify].
func Open(dir string) (*Folder, error) {
	path := filepath.Join(dir, ManifestFile)
	data, err := readLimited(path, maxManifestBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open study %s: there is no %s in it; make one with \"sr3 study new\"", dir, ManifestFile)
	}
	if err != nil {
		return nil, fmt.Errorf("open study %s: %w", dir, err)
	}
	f := &Folder{Dir: dir}
	meta, err := toml.Decode(string(data), &f.Manifest)
	if err != nil {
		return nil, fmt.Errorf("open study: %s: %w", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("open study: %s: there is no setting %q", path, unknown[0])
	}
	if err := f.Manifest.Validate(); err != nil {
		return nil, fmt.Errorf("open study: %s: %w", path, err)
	}
	for i, e := range f.Manifest.Images {
		for kind := range e.SHA256 {
			if info, err := os.Stat(f.imagePath(i, kind)); err != nil || !info.Mode().IsRegular() {
				return nil, fmt.Errorf("open study %s: image %s is missing: %s", dir, e.Name, f.imagePath(i, kind))
			}
		}
	}
	return f, nil
}

// Verify reads all images and compares them with the digests of the manifest.
func (f *Folder) Verify() error {
	for i, e := range f.Manifest.Images {
		for kind, want := range e.SHA256 {
			data, err := f.image(i, kind)
			if err != nil {
				return err
			}
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
				return fmt.Errorf("study %s: %s was changed since the study was made; make the study again with \"sr3 study new\"", f.Dir, f.imagePath(i, kind))
			}
		}
	}
	return nil
}

// Duration is how long images are shown; 0: until answered.
func (m *Manifest) Duration() time.Duration { return time.Duration(m.DisplayMS) * time.Millisecond }

func (f *Folder) imagePath(image, kind int) string {
	return filepath.Join(f.Dir, ImagesFolder, fileName(image, kind))
}

// image reads a file as it is shown.
func (f *Folder) image(image, kind int) ([]byte, error) {
	data, err := readLimited(f.imagePath(image, kind), 8*maxImagePixels)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	return data, nil
}

// readLimited reads a whole file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, err
}

// writeManifest writes study.toml, whole.
func (f *Folder) writeManifest() error {
	var b bytes.Buffer
	b.WriteString("# A study of fool rates. Texts may be edited; the rest is fixed once somebody took part.\n")
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(f.Manifest); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return runfiles.WriteAtomic(filepath.Join(f.Dir, ManifestFile), func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
}
