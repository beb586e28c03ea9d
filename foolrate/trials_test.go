package foolrate_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/foolrate"
)

func drawDesign(t *rapid.T) foolrate.Design {
	d := foolrate.Design{
		Seed:       rapid.Uint64().Draw(t, "seed"),
		Images:     rapid.IntRange(1, 40).Draw(t, "images"),
		Methods:    rapid.IntRange(1, 6).Draw(t, "methods"),
		Allocation: rapid.SampledFrom([]foolrate.Allocation{foolrate.Separate, foolrate.Mixed}).Draw(t, "allocation"),
	}
	d.PerSubject = rapid.IntRange(1, d.Images).Draw(t, "per subject")
	d.Catch = rapid.IntRange(0, d.Images-d.PerSubject).Draw(t, "catch")
	return d
}

// spreadOf is the largest count less the smallest.
func spreadOf(counts []int) int { return slices.Max(counts) - slices.Min(counts) }

// TestTrialsOfOneSubject: no image twice, balanced sides and methods, catch trials
// apart, and the same trials when asked again.
func TestTrialsOfOneSubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDesign(t)
		subject := rapid.IntRange(0, 300).Draw(t, "subject")
		trials := d.Trials(subject)
		if !slices.Equal(trials, d.Trials(subject)) {
			t.Fatal("asked again, the trials are others")
		}
		if len(trials) != d.Length() {
			t.Fatalf("%d trials, want %d", len(trials), d.Length())
		}
		seen := map[int]bool{}
		left := 0
		count, lefts := map[int]int{}, map[int]int{}
		var catches []int
		for i, trial := range trials {
			if seen[trial.Image] || trial.Image < 0 || trial.Image >= d.Images {
				t.Fatalf("image %d comes twice or does not exist", trial.Image)
			}
			seen[trial.Image] = true
			count[trial.Method]++
			if trial.OriginalLeft {
				left++
				lefts[trial.Method]++
			}
			if trial.Method == foolrate.Catch {
				catches = append(catches, i)
			}
		}
		if diff := 2*left - len(trials); diff < -1 || diff > 1 {
			t.Fatalf("the original is on the left %d times of %d", left, len(trials))
		}
		for m, n := range count {
			if diff := 2*lefts[m] - n; diff < -1 || diff > 1 {
				t.Fatalf("method %d: the original is on the left %d times of %d", m, lefts[m], n)
			}
		}
		if len(catches) != d.Catch {
			t.Fatalf("%d catch trials, want %d", len(catches), d.Catch)
		}
		for i, at := range catches {
			if at < d.Length()*i/d.Catch || at >= d.Length()*(i+1)/d.Catch {
				t.Fatalf("catch trials at %v of %d", catches, d.Length())
			}
		}
		delete(count, foolrate.Catch)
		checkMethods(t, d, count)
	})
}

func checkMethods(t *rapid.T, d foolrate.Design, count map[int]int) {
	if d.Allocation == foolrate.Separate {
		if len(count) != 1 {
			t.Fatalf("a subject sees %d methods, want one", len(count))
		}
		return
	}
	all := make([]int, d.Methods)
	for m, n := range count {
		all[m] = n
	}
	limit := 2
	if d.Images%d.PerSubject == 0 {
		limit = 1
	}
	if spreadOf(all) > limit {
		t.Fatalf("methods come %v times", all)
	}
}

// TestTrialsOfManySubjects: images come equally often, and images meet methods
// equally often.
func TestTrialsOfManySubjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDesign(t)
		images := make([][]int, d.Methods)
		for m := range images {
			images[m] = make([]int, d.Images)
		}
		total := make([]int, d.Images)
		for subject := range rapid.IntRange(1, 60).Draw(t, "subjects") {
			for _, trial := range d.Trials(subject) {
				if trial.Method != foolrate.Catch {
					images[trial.Method][trial.Image]++
					total[trial.Image]++
				}
			}
			if d.Allocation == foolrate.Mixed {
				if spreadOf(total) > 1 {
					t.Fatalf("after subject %d images came %v times", subject, total)
				}
				if dealt := (subject + 1) * d.PerSubject; dealt%(d.Images*d.Methods) == 0 {
					for m := range images {
						if spreadOf(images[m]) != 0 {
							t.Fatalf("after %d rounds method %d met images %v times", dealt/d.Images, m, images[m])
						}
					}
				}
				continue
			}
			for m := range images {
				if spreadOf(images[m]) > 1 {
					t.Fatalf("after subject %d method %d met images %v times", subject, m, images[m])
				}
			}
		}
	})
}

// TestChance: orders, sides and partners differ between subjects and between seeds,
// and no trial number has a side of its own.
func TestChance(t *testing.T) {
	d := foolrate.Design{Seed: 1, Images: 100, Methods: 2, PerSubject: 50, Catch: 4, Allocation: foolrate.Separate}
	other := d
	other.Seed = 2
	if slices.Equal(d.Trials(0), other.Trials(0)) {
		t.Error("another seed, the same trials")
	}
	const subjects = 400
	lefts := make([]int, d.Length())
	for s := range subjects {
		trials := d.Trials(s)
		if s > 0 && slices.Equal(trials, d.Trials(s-1)) {
			t.Fatal("two subjects have the same trials")
		}
		for i, trial := range trials {
			if trial.OriginalLeft {
				lefts[i]++
			}
		}
	}
	for i, n := range lefts { // binomial(400, 1/2): five deviations are 50
		if n < 150 || n > 250 {
			t.Errorf("trial %d: the original is on the left for %d of %d subjects", i, n, subjects)
		}
	}
}

func TestValidate(t *testing.T) {
	good := foolrate.Design{Images: 10, Methods: 2, PerSubject: 8, Catch: 2, Allocation: foolrate.Mixed}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*foolrate.Design){
		"no images": func(d *foolrate.Design) { d.Images = 0 }, "too many images": func(d *foolrate.Design) { d.Images = 1e6 },
		"no methods": func(d *foolrate.Design) { d.Methods = 0 }, "many methods": func(d *foolrate.Design) { d.Methods = 33 },
		"nothing to see": func(d *foolrate.Design) { d.PerSubject = 0 }, "negative catch": func(d *foolrate.Design) { d.Catch = -1 },
		"images twice": func(d *foolrate.Design) { d.Catch = 3 }, "overflow": func(d *foolrate.Design) { d.PerSubject = 1 << 62; d.Catch = 1 << 62 },
		"allocation": func(d *foolrate.Design) { d.Allocation = "both" },
	} {
		d := good
		change(&d)
		if d.Validate() == nil {
			t.Errorf("%s: %+v passes", name, d)
		}
	}
	for task, word := range map[foolrate.Task]string{foolrate.WithInput: "high quality", foolrate.WithoutInput: "camera"} {
		if !strings.Contains(task.Question(), word) {
			t.Errorf("task %d asks %q", task, task.Question())
		}
	}
}
