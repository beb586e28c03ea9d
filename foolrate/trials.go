package foolrate

import "github.com/sr3-go/sr3/internal/philox"

// Catch, in the place of a method, marks a catch trial.
const Catch = -1

// Trial is one question: an original beside a result.
type Trial struct {
	Image        int  // 0 to Images-1
	Method       int  // 0 to Methods-1, or Catch
	OriginalLeft bool // on which side the original is
}

// Numbers of the streams of a subject and of a round; each decision has its own.
const (
	streamImages = iota // which images are dealt together
	streamOrder         // the order of a subject's trials
	streamSides         // left or right
	streamCatch         // where catch trials stand
	streams
)

// Trials deals the trials of subject 0, 1, 2, ... in the order in which the subject
// sees them. It depends on nothing but the design and the number.
//
// No image comes twice. The original is on the left in half of a subject's trials
// (within one), and in half of those of each method and of the catch trials (within
// one). After any number of subjects, the images of a method (Separate) or of the
// study (Mixed) have been dealt equally often, within one. With Mixed a subject has
// the methods equally often within two, within one where PerSubject divides Images,
// and whenever everyone has dealt Methods times through all images, every image has
// met every method equally often. Catch trials stand apart, one in each equal
// stretch of the sequence. It panics when the design is not valid.
func (d Design) Trials(subject int) []Trial {
	if err := d.Validate(); err != nil || subject < 0 {
		panic("foolrate: Trials of an invalid design or subject")
	}
	shown, caught := d.deal(subject)
	shuffle(shown, d.stream(subject, streamOrder))
	trials := d.spread(subject, shown, caught)
	d.setSides(subject, trials)
	return trials
}

func (d Design) stream(index, kind int) philox.Stream {
	return philox.New(d.Seed, uint64(index)*streams+uint64(kind))
}

// deal chooses a subject's images and the methods they meet. Subjects take
// consecutive stretches of an endless row of rounds, in each of which every image
// comes once. As many rounds have the images in one order as it takes for stretches
// to end where a round does, for every method; then the order is drawn anew.
func (d Design) deal(subject int) (shown, caught []Trial) {
	turn, deck, passes := subject, 0, d.Methods
	if d.Allocation == Separate {
		turn, deck, passes = subject/d.Methods, subject%d.Methods, 1
	}
	n := d.PerSubject
	cohort := turn / (d.Images / gcd(d.Images, n) * passes)
	order := make([]int, d.Images)
	for i := range order {
		order[i] = i
	}
	// Decks of methods are different streams: cohorts count from deck on.
	shuffle(order, d.stream(cohort*MaxMethods+deck, streamImages))
	for k := range d.Length() {
		place := turn*n + k
		trial := Trial{Image: order[place%d.Images], Method: deck}
		switch {
		case k >= n:
			trial.Method = Catch
			caught = append(caught, trial)
			continue
		case d.Allocation == Mixed:
			trial.Method = d.mixedMethod(place)
		}
		shown = append(shown, trial)
	}
	return shown, caught
}

// mixedMethod is the method at a place in the row. Methods follow one another; where
// their number has a divisor in common with that of the images, they move on by one
// when an image would meet a method again before it has met all.
func (d Design) mixedMethod(place int) int {
	round := place / d.Images
	return (place + round/(d.Methods/gcd(d.Methods, d.Images))) % d.Methods
}

// spread puts the catch trials among the others, one in each equal stretch.
func (d Design) spread(subject int, shown, caught []Trial) []Trial {
	s := d.stream(subject, streamCatch)
	shuffle(caught, s)
	trials := make([]Trial, 0, d.Length())
	for i, c := range caught {
		from, to := d.Length()*i/d.Catch, d.Length()*(i+1)/d.Catch
		at := from + s.Intn(uint64(d.Catch+i), to-from)
		free := at - len(trials)
		trials = append(append(trials, shown[:free]...), c)
		shown = shown[free:]
	}
	return append(trials, shown...)
}

// setSides puts half of the originals of each method on the left; the odd ones of
// the methods alternate.
func (d Design) setSides(subject int, trials []Trial) {
	s := d.stream(subject, streamSides)
	odd := s.Intn(0, 2) == 1
	for group := Catch; group < d.Methods; group++ {
		var members []int
		for i, t := range trials {
			if t.Method == group {
				members = append(members, i)
			}
		}
		left := len(members) / 2
		if len(members)%2 == 1 {
			if odd {
				left++
			}
			odd = !odd
		}
		shuffle(members, philox.New(s.Uint64(1), uint64(group-Catch)))
		for _, i := range members[:left] {
			trials[i].OriginalLeft = true
		}
	}
}

// shuffle permutes uniformly (Fisher and Yates) with numbers 0 to len-1 of s.
func shuffle[T any](list []T, s philox.Stream) {
	for i := len(list) - 1; i > 0; i-- {
		j := s.Intn(uint64(i), i+1)
		list[i], list[j] = list[j], list[i]
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
