package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors of a queue, for [errors.Is].
var (
	ErrFull      = errors.New("the queue is full")
	ErrKeyReused = errors.New("the idempotency key was used for another job")
	ErrNotFound  = errors.New("no such job")
	ErrGone      = errors.New("the job was removed")
	ErrFinished  = errors.New("the job is finished")
	ErrLocked    = errors.New("the store is locked")
	// ErrClosed is returned by calls after [Queue.Close].
	ErrClosed = errors.New("the queue is closed")
)

// Options say where a queue is and how it works. From Lease to Replicas they are
// settings of the queue, stored in it and shared by all processes that open it: zero
// means what is stored, and in a new queue the default; other values are stored.
type Options struct {
	// URL is that of an external NATS server with JetStream, or several of a cluster
	// separated by commas. Empty means a server in this process, with its store in Dir.
	URL string
	// Credentials is a file of NATS credentials for URL.
	Credentials string
	// Dir is the folder of the embedded server's store. One process at a time uses it.
	Dir string
	// Sync makes the embedded server write through to the disk before it acknowledges
	// anything. Without, a crash of the process costs nothing, and a power cut or a
	// crash of the system what was changed in the 10 seconds before.
	Sync bool
	// Listen is the host:port at which workers elsewhere can connect to the embedded
	// server; empty means that nobody can.
	Listen string
	// Token is what those workers have to show; empty means the one in the file
	// worker-token of Dir, which is made when it is missing. See [Queue.WorkerURL].
	Token string

	// Lease is how long a worker may be silent before it has lost its job: 15 s.
	Lease time.Duration
	// Attempts is how often a job may fail before it is discarded: 3.
	Attempts int
	// Losses is how many workers a job may lose before it is discarded: 10. They are
	// counted apart from failures, because most of them are not the job's fault.
	Losses int
	// Backoff is the pause before the second attempt, doubled for each further one up
	// to a minute: 2 s.
	Backoff time.Duration
	// Keep is how long a job stays after its end: 24 h. One that still waits so long
	// after it was made, or was to start, is removed too.
	Keep time.Duration
	// MaxQueued is how many jobs may wait: 512.
	MaxQueued int
	// MaxBytes is what inputs and results may take together: 8 GiB. Submit refuses what
	// would go beyond; results of jobs accepted before may, by up to a quarter.
	MaxBytes int64
	// Replicas is on how many servers of a cluster everything is stored, 1 to 5: 1.
	Replicas int

	// Logger gets what goes wrong out of sight; nil means none.
	Logger *slog.Logger

	clock func() time.Time // time.Now but in tests
}

// Queue is an open queue. It may be used by several goroutines.
type Queue struct {
	options  Options
	log      *slog.Logger
	server   *embedded // nil for an external one
	nc       *nats.Conn
	js       jetstream.JetStream
	settings atomic.Pointer[settings]

	shared            jetstream.KeyValue // settings
	records, keys     jetstream.KeyValue
	blobs, work, ends jetstream.Stream
	consumer          jetstream.Consumer

	view  *view
	hub   *hub
	link  atomic.Pointer[link]
	ahead atomic.Int64 // of the server's clock before this one's, as a time.Duration
	stuck int          // how often in a row messages were not delivered; the sweep's own

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	mu      sync.Mutex // guards closed, and workers.Add against Close
	closed  bool
	workers sync.WaitGroup // calls of Work
	loops   sync.WaitGroup // of the queue itself
}

// callTime bounds one call to JetStream.
const callTime = 15 * time.Second

// Open opens a queue and makes it if there is none. Work that a crash left undone is
// put in order.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.clock == nil {
		o.clock = time.Now
	}
	q := &Queue{options: o, log: o.Logger, view: newView()}
	q.link.Store(newLink())
	q.ctx, q.stop = context.WithCancel(context.Background())
	if err := q.open(ctx); err != nil {
		_ = q.Close()
		return nil, err
	}
	return q, nil
}

// check finds options that make no sense.
func (o *Options) check() error {
	switch {
	case o.Lease < 0 || o.Lease > 0 && o.Lease < 100*time.Millisecond:
		return fmt.Errorf("open the queue: a lease of %v: want 100ms or more", o.Lease)
	case o.Keep < 0 || o.Attempts < 0 || o.Losses < 0 || o.Backoff < 0 || o.MaxQueued < 0 || o.MaxBytes < 0:
		return errors.New("open the queue: negative settings")
	case o.Replicas < 0 || o.Replicas > 5:
		return fmt.Errorf("open the queue: %d replicas: want 1 to 5", o.Replicas)
	}
	return nil
}

// open takes the steps of Open.
func (q *Queue) open(ctx context.Context) error {
	var err error
	if q.options.URL == "" {
		if q.server, err = startEmbedded(&q.options); err != nil {
			return err
		}
	}
	if err := q.connect(); err != nil {
		return err
	}
	if err := q.openStore(ctx); err != nil {
		return err
	}
	q.hub = newHub(q)
	if err := q.follow(ctx); err != nil {
		return err
	}
	if err := q.recover(ctx); err != nil {
		return fmt.Errorf("open the queue: put it in order: %w", err)
	}
	q.loops.Go(q.sweepLoop)
	q.loops.Go(q.hub.announceLoop)
	return nil
}

// connect connects to the server.
func (q *Queue) connect() error {
	o := &q.options
	opts := []nats.Option{
		nats.Name("sr3 " + clientName()), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(), nats.ReconnectWait(time.Second), nats.Timeout(5 * time.Second),
		nats.ReconnectHandler(func(*nats.Conn) {
			q.log.Info("connected to NATS again")
			q.view.refresh() // nobody could be heard
			q.link.Swap(newLink()).cut()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				q.log.Warn("connection to NATS lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { q.log.Debug("nats", "error", err) }),
	}
	var err error
	if q.server != nil {
		opts = append(opts, nats.InProcessServer(q.server.srv))
		if q.server.token != "" {
			opts = append(opts, nats.Token(q.server.token))
		}
		q.nc, err = nats.Connect("", opts...)
	} else {
		if o.Credentials != "" {
			opts = append(opts, nats.UserCredentials(o.Credentials))
		}
		q.nc, err = nats.Connect(o.URL, opts...)
	}
	if err != nil {
		return fmt.Errorf("open the queue: connect to the NATS server %s: %w; is it running, and the address right?", hideSecrets(o.URL), err)
	}
	q.js, err = jetstream.New(q.nc, jetstream.WithDefaultTimeout(callTime))
	if err != nil {
		return fmt.Errorf("open the queue: %w", err)
	}
	return nil
}

// clientName says who this process is, for people who look at the server.
func clientName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// hideSecrets takes users, passwords and tokens out of URLs.
func hideSecrets(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		if at := strings.LastIndex(u, "@"); at >= 0 {
			scheme := ""
			if s := strings.Index(u, "://"); s >= 0 {
				scheme = u[:s+3]
			}
			list[i] = scheme + u[at+1:]
		}
	}
	return cmp.Or(strings.Join(list, ","), "embedded")
}

// Close ends all calls of Work, which finish or hand back what they have, closes the
// channels of watchers and stops the embedded server.
func (q *Queue) Close() error {
	q.mu.Lock()
	closed := q.closed
	q.closed = true
	q.mu.Unlock()
	if closed {
		return nil
	}
	q.stop()
	q.workers.Wait()
	q.loops.Wait()
	if q.nc != nil {
		_ = q.nc.FlushTimeout(5 * time.Second) // acknowledgements; a lost one costs a redelivery
		q.nc.Close()
	}
	if q.server != nil {
		q.server.stop()
	}
	return nil
}

// WorkerURL is the address, with its token, at which workers elsewhere reach the
// embedded server; empty if it does not listen. Whoever knows it can do all.
func (q *Queue) WorkerURL() string {
	if q.server == nil {
		return ""
	}
	return q.server.url
}

// Stats are numbers about a queue.
type Stats struct {
	Waiting, Running int           // jobs
	States           map[State]int // jobs kept, by state
	Bytes            int64         // of inputs, results and records
	MaxQueued        int           // of Waiting
	MaxBytes         int64         // of Bytes
	Keep             time.Duration // how long jobs stay after their end
}

// Stats returns numbers from memory. It fails if the server is out of reach.
func (q *Queue) Stats(context.Context) (Stats, error) {
	if q.ctx.Err() != nil {
		return Stats{}, ErrClosed
	}
	s := q.view.stats()
	set := q.settings.Load()
	s.MaxQueued, s.MaxBytes, s.Keep = set.MaxQueued, set.MaxBytes, set.Keep
	if !q.nc.IsConnected() {
		return s, errors.New("the NATS server is out of reach")
	}
	return s, nil
}
