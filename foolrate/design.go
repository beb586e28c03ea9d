package foolrate

import (
	"errors"
	"fmt"
)

// Task is the question that subjects answer, as the paper numbers them.
type Task int

// The tasks of section 4.2 of the paper.
const (
	// WithInput shows the low-resolution image between the two: "Which of the two
	// images is a better high quality version of the low resolution image in the
	// middle?"
	WithInput Task = 1
	// WithoutInput shows the two alone: "Which image would you guess is from a
	// camera?"
	WithoutInput Task = 2
)

// Question is the sentence that the paper asks in the task.
func (t Task) Question() string {
	if t == WithInput {
		return "Which of the two images is a better high quality version of the low resolution image in the middle?"
	}
	return "Which image would you guess is from a camera?"
}

// Allocation says how the methods of a study are shared out among subjects.
type Allocation string

const (
	// Separate gives each subject one method: the paper's way, whose rates are of 50
	// subjects with 50 images for each model. Nobody learns from one method's faults
	// what to look for in another's. Subjects take the methods in turn.
	Separate Allocation = "separate"
	// Mixed gives each subject all methods, an image in one of them. It needs fewer
	// people, and differences between people fall out of comparisons of methods.
	Mixed Allocation = "mixed"
)

// Bounds of a design, so that sums of sizes cannot overflow.
const (
	MaxImages  = 10_000 // images of a study
	MaxMethods = 32     // methods of a study
)

// Design is the plan of a study.
type Design struct {
	// Seed decides all that is random.
	Seed uint64
	// Images and Methods are how many there are; every method has a result for
	// every image.
	Images, Methods int
	// PerSubject is how many originals a subject compares with results: 50 of 100 in
	// the paper. It is at most Images, since a subject sees an image once.
	PerSubject int
	// Catch is how many more trials compare an original with a version so degraded
	// that whoever looks cannot be fooled. They show who does not look. Their images
	// are seen in no other trial of the subject.
	Catch int
	// Allocation is Separate or Mixed.
	Allocation Allocation
}

// Validate checks that the numbers go together.
func (d Design) Validate() error {
	switch {
	case d.Images < 1 || d.Images > MaxImages:
		return fmt.Errorf("design: %d images: want 1 to %d", d.Images, MaxImages)
	case d.Methods < 1 || d.Methods > MaxMethods:
		return fmt.Errorf("design: %d methods: want 1 to %d", d.Methods, MaxMethods)
	case d.PerSubject < 1:
		return errors.New("design: want at least one image per subject")
	case d.Catch < 0:
		return fmt.Errorf("design: %d catch trials: want 0 or more", d.Catch)
	case d.Catch > d.Images || d.PerSubject > d.Images-d.Catch:
		return fmt.Errorf("design: %d images per subject and %d catch trials need %d images, there are %d: a subject sees no image twice",
			d.PerSubject, d.Catch, d.PerSubject+d.Catch, d.Images)
	case d.Allocation != Separate && d.Allocation != Mixed:
		return fmt.Errorf("design: allocation %q: want %s or %s", d.Allocation, Separate, Mixed)
	}
	return nil
}

// Length is how many trials a subject has, catch trials among them.
func (d Design) Length() int { return d.PerSubject + d.Catch }
