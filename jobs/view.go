package jobs

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// view is what this process knows of all jobs, from following the records: enough
// to count, to list and to see who fell silent, without asking the server.
type view struct {
	mu      sync.Mutex
	jobs    map[string]*entry
	ids     []string // of jobs, sorted
	open    map[string]*entry
	counts  map[State]int
	bytes   int64
	waiting int
	reached uint64    // revision up to which all was heard
	store   time.Time // when the store of the records was made

	reserved      int // jobs about to be submitted
	reservedBytes int64

	watchers map[string]map[*watcher]struct{}
	tasks    map[string]*Task // that run in this process
}

// entry is what is kept in memory of a job.
type entry struct {
	revision uint64
	heard    time.Time // when the record changed last, by this process's clock
	owner    string
	state    State
	bytes    int64
	record   *record   // while the job is not finished
	end      time.Time // from when Keep counts
}

func newView() *view {
	return &view{jobs: map[string]*entry{}, open: map[string]*entry{}, counts: map[State]int{},
		watchers: map[string]map[*watcher]struct{}{}, tasks: map[string]*Task{}}
}

// apply takes in a record. Older ones than known are ignored, so that a process can
// apply what it stored itself without waiting to hear of it.
func (v *view) apply(r *record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.jobs[r.ID]
	if old != nil && r.revision <= old.revision || old == nil && r.revision <= v.reached {
		return
	}
	switch {
	case r.Gone && old != nil:
		v.drop(r.ID)
	case !r.Gone:
		if old != nil {
			v.count(old, -1)
		}
		v.put(r, old)
	}
	for w := range v.watchers[r.ID] {
		w.observe(r)
	}
	if t := v.tasks[r.ID]; t != nil {
		t.observe(r)
	}
}

// put stores the entry of a record.
func (v *view) put(r *record, old *entry) {
	e := &entry{revision: r.revision, heard: time.Now(), owner: r.Owner, state: r.State, bytes: r.bytes(), end: r.expires(0)}
	v.jobs[r.ID] = e
	v.count(e, 1)
	if r.State.Finished() {
		delete(v.open, r.ID)
	} else {
		e.record = r
		v.open[r.ID] = e
	}
	if old == nil {
		i, _ := slices.BinarySearch(v.ids, r.ID)
		v.ids = slices.Insert(v.ids, i, r.ID)
	}
}

// count adds or takes away what an entry stands for.
func (v *view) count(e *entry, sign int) {
	v.counts[e.state] += sign
	v.bytes += int64(sign) * e.bytes
	if !e.state.Finished() && e.state != Running {
		v.waiting += sign
	}
}

// forget drops the jobs that all records together (seen, up to a revision) do not tell
// of: the server removed them for their age.
func (v *view) forget(seen map[string]bool, last uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, e := range v.jobs {
		if !seen[id] && e.revision <= last {
			v.drop(id)
		}
	}
}

// lose drops a job whose record is no more.
func (v *view) lose(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.jobs[id] != nil {
		v.drop(id)
	}
}

// belongTo forgets everything if the records are in another store than before, such as
// one that was removed and made again: its revisions begin anew.
func (v *view) belongTo(created time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.store.IsZero() && !v.store.Equal(created) {
		for id := range v.jobs {
			v.drop(id)
		}
		v.reached = 0
	}
	v.store = created
}

// drop removes what is known of a job.
func (v *view) drop(id string) {
	v.count(v.jobs[id], -1)
	delete(v.jobs, id)
	delete(v.open, id)
	if i, found := slices.BinarySearch(v.ids, id); found {
		v.ids = slices.Delete(v.ids, i, i+1)
	}
}

// refresh gives all workers another lease: they could not be heard.
func (v *view) refresh() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.open {
		e.heard = time.Now()
	}
}

// reserve makes sure of room for another job until release.
func (v *view) reserve(bytes int64, s *settings) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.waiting+v.reserved >= s.MaxQueued {
		return fmt.Errorf("%w: %d jobs wait already", ErrFull, s.MaxQueued)
	}
	if v.bytes+v.reservedBytes+bytes > s.MaxBytes {
		return fmt.Errorf("%w: inputs and results take all of %d MiB until the oldest jobs expire or are deleted", ErrFull, s.MaxBytes>>20)
	}
	v.reserved++
	v.reservedBytes += bytes
	return nil
}

func (v *view) release(bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reserved--
	v.reservedBytes -= bytes
}

// silent lists running jobs whose workers were not heard of for so long.
func (v *view) silent(lease time.Duration) []*record {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []*record
	for _, e := range v.open {
		if e.state == Running && time.Since(e.heard) > lease {
			list = append(list, e.record)
		}
	}
	return list
}

// finished lists the finished jobs.
func (v *view) finished() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for _, id := range v.ids {
		if v.jobs[id].state.Finished() {
			list = append(list, id)
		}
	}
	return list
}

// unfinished lists the jobs that are not finished.
func (v *view) unfinished() []*record {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]*record, 0, len(v.open))
	for _, e := range v.open {
		list = append(list, e.record)
	}
	return list
}

// state is that of a job; empty for one that is not known.
func (v *view) state(id string) State {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.jobs[id]; e != nil {
		return e.state
	}
	return ""
}

// expired lists the jobs that have to go, but no running ones.
func (v *view) expired(keep time.Duration, now time.Time) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for _, id := range v.ids {
		if e := v.jobs[id]; e.state != Running && e.end.Add(keep).Before(now) {
			list = append(list, id)
		}
	}
	return list
}

// list finds jobs, newest first.
func (v *view) list(f Filter) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	end := len(v.ids)
	if f.Before != "" {
		end, _ = slices.BinarySearch(v.ids, f.Before)
	}
	var list []string
	for i := end - 1; i >= 0 && len(list) < f.Limit; i-- {
		e := v.jobs[v.ids[i]]
		if (f.AllOwners || e.owner == f.Owner) && (len(f.States) == 0 || slices.Contains(f.States, e.state)) {
			list = append(list, v.ids[i])
		}
	}
	return list
}

func (v *view) stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Stats{Waiting: v.waiting, Running: v.counts[Running], States: map[State]int{}, Bytes: v.bytes}
	for state, n := range v.counts {
		if n > 0 {
			s.States[state] = n
		}
	}
	return s
}

func (v *view) addWatcher(w *watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watchers[w.id] == nil {
		v.watchers[w.id] = map[*watcher]struct{}{}
	}
	v.watchers[w.id][w] = struct{}{}
}

func (v *view) removeWatcher(w *watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.watchers[w.id], w)
	if len(v.watchers[w.id]) == 0 {
		delete(v.watchers, w.id)
	}
}

func (v *view) addTask(t *Task) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tasks[t.job.ID] = t
}

func (v *view) removeTask(t *Task) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tasks[t.job.ID] == t {
		delete(v.tasks, t.job.ID)
	}
}
