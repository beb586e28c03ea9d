package jobs

import "time"

// clockError is by how much the clock of this process may differ from the server's
// before the server's counts.
const clockError = 2 * time.Second

// now is the time that is written into records and compared with them: that of the
// server, so that machines whose clocks are wrong do not end what others made.
func (q *Queue) now() time.Time {
	return q.options.clock().Add(time.Duration(q.ahead.Load())).UTC()
}

// setClock compares the clocks. The server wrote its time between before and now; old
// ones (2.9) do not.
func (q *Queue) setClock(before, server time.Time) {
	if server.IsZero() {
		return
	}
	now := q.options.clock()
	took := now.Sub(before)
	ahead := server.Sub(before.Add(took / 2))
	if ahead.Abs() <= clockError+took {
		ahead = 0
	}
	if old := q.ahead.Swap(int64(ahead)); ahead != 0 && (ahead-time.Duration(old)).Abs() > clockError+took {
		q.log.Warn("the clock of this machine is not that of the NATS server, which is taken instead", "ahead", ahead.Round(time.Second))
	}
}
