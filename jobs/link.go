package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// link is one connection to the server, from one reconnect to the next. What was asked
// on an earlier one may never be answered: the client of NATS waits all the same.
type link struct {
	over context.Context // ends when there is a later one
	cut  context.CancelFunc
}

func newLink() *link {
	l := &link{}
	l.over, l.cut = context.WithCancel(context.Background())
	return l
}

// linkTries is how often a call is made again because the connection was, and noAnswerTries
// how often, a second apart, because nobody answered: the server reads its store.
const (
	linkTries     = 5
	noAnswerTries = 15
)

// call makes one call to the server, which must be one that may be made twice. It has
// callTime, and is made again if the connection was lost and is back.
func (q *Queue) call(ctx context.Context, f func(context.Context) error) error {
	for try := 1; ; try++ {
		l := q.link.Load()
		once, cancel := context.WithTimeout(ctx, callTime)
		stop := context.AfterFunc(l.over, cancel)
		err := f(once)
		stop()
		cancel()
		if err == nil || ctx.Err() != nil || l.over.Err() == nil || !unanswered(err) || try == linkTries {
			return err
		}
	}
}

// insist makes a call until it is answered or ctx ends.
func (q *Queue) insist(ctx context.Context, f func(context.Context) error) error {
	for try := 1; ; try++ {
		err := q.call(ctx, f)
		if err == nil || ctx.Err() != nil || q.nc.IsClosed() || !unanswered(err) {
			return err
		}
		if noAnswer(err) && try >= noAnswerTries || !sleep(ctx, time.Second) {
			return err
		}
	}
}

// unanswered tells whether the server did not say what became of a call.
func unanswered(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrDisconnected) || noAnswer(err)
}

// noAnswer tells whether nobody was there to take a call.
func noAnswer(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrJetStreamNotEnabled)
}
