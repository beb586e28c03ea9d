package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/worker"
)

// Queue is what the server needs of the queue; [jobs.Queue] is one.
type Queue interface {
	// Submit accepts a job; created is false if the idempotency key had made it before.
	Submit(ctx context.Context, r jobs.Request) (job jobs.Job, created bool, err error)
	// Get returns a job; of one that is gone, with [jobs.ErrGone], the owner.
	Get(ctx context.Context, id string) (jobs.Job, error)
	// List returns jobs, the newest first.
	List(ctx context.Context, f jobs.Filter) ([]jobs.Job, error)
	// Cancel calls a job off.
	Cancel(ctx context.Context, id string) (jobs.Job, error)
	// Delete removes a job and its images.
	Delete(ctx context.Context, id string) error
	// Input returns the uploaded image.
	Input(ctx context.Context, id string) (jobs.Object, []byte, error)
	// Result returns an image of a completed job.
	Result(ctx context.Context, id, name string) (jobs.Object, []byte, error)
	// Watch tells the present state and every change until the last.
	Watch(ctx context.Context, id string) (<-chan jobs.Event, error)
	// Stats says how full the queue is.
	Stats(ctx context.Context) (jobs.Stats, error)
}

// Options say how to serve; zero fields mean what their comments say.
type Options struct {
	Queue  Queue
	Models *worker.Models
	Limits worker.Limits
	// Keys are asked for where they are given. Without them everybody who can connect
	// is let in, so that the server must listen on a loopback address alone, and pages
	// of other sites are kept out.
	Keys *Keys
	// Page is served at / and below /assets/; nil for none.
	Page fs.FS
	// Keep is how long jobs live, and so how far ahead they can be scheduled; 24 h.
	Keep time.Duration
	// Wait is how long POST /v1/upscale waits before it answers 202; 60 s.
	Wait time.Duration
	// WaitA1111 is how long the routes of the A1111 dialect, which knows no later
	// answer, wait; 9.5 minutes, less than the ten of its clients.
	WaitA1111 time.Duration
	// Heartbeat is the time between comments in event streams; 15 s.
	Heartbeat time.Duration
	// MaxWaiting is how many requests may wait for their results, MaxStreams how many
	// streams of events may be open; 256 each.
	MaxWaiting, MaxStreams int
	// MaxMemory bounds what bodies and results that are on their way take together;
	// 512 MiB.
	MaxMemory int64
	// MaxConnections bounds the connections that [Server.Serve] accepts; 4096.
	MaxConnections int
	// Rate is how many submissions a second each key may make over time, Burst how many
	// at once; 0 for no limit.
	Rate  float64
	Burst int
	// Parallel is how many jobs are done at a time, for estimates; 1.
	Parallel int
	// Hold is how long a submission that there is no room for waits for its refusal;
	// 500 ms, less than 0 for no time at all.
	Hold time.Duration
	// BodyGrace is how long a body may take before it has to come at 16 KiB a second;
	// 20 s.
	BodyGrace time.Duration
	// Ready says why jobs are not being done, for GET /readyz; nil if that is not known.
	Ready func() error
	// Logger gets a line for each request that changes something or fails; nil for none.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	o.Keep = cmp.Or(o.Keep, 24*time.Hour)
	o.Wait = cmp.Or(o.Wait, time.Minute)
	o.WaitA1111 = cmp.Or(o.WaitA1111, 570*time.Second)
	o.Heartbeat = cmp.Or(o.Heartbeat, 15*time.Second)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 256)
	o.MaxStreams = cmp.Or(o.MaxStreams, 256)
	o.MaxMemory = cmp.Or(o.MaxMemory, 512<<20)
	o.MaxConnections = cmp.Or(o.MaxConnections, 4096)
	o.Parallel = max(o.Parallel, 1)
	o.Hold = cmp.Or(o.Hold, 500*time.Millisecond)
	o.BodyGrace = cmp.Or(o.BodyGrace, 20*time.Second)
	if o.Rate > 0 && o.Burst < 1 {
		o.Burst = max(1, int(2*o.Rate))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server answers HTTP requests. It may be used by several goroutines.
type Server struct {
	o       Options
	log     *slog.Logger
	mux     *http.ServeMux
	routes  []string // patterns, in order
	page    *page
	metrics *metrics

	memory  *budget // bytes
	waiting *budget // requests
	streams *budget
	scrapes *budget
	rates   rates
	catalog catalog
	foreign *http.CrossOriginProtection

	drained  chan struct{} // closed when the server goes down
	drainOne sync.Once
}

// New makes a server. It fails if something that it needs is missing.
func New(o Options) (*Server, error) {
	if o.Queue == nil || o.Models == nil {
		return nil, errors.New("serve: a queue and models are needed")
	}
	o = o.withDefaults()
	s := &Server{
		o: o, log: o.Logger, mux: http.NewServeMux(),
		memory: newBudget(o.MaxMemory), waiting: newBudget(int64(o.MaxWaiting)), streams: newBudget(int64(o.MaxStreams)), scrapes: newBudget(4),
		rates: rates{perSecond: o.Rate, burst: o.Burst}, catalog: catalog{models: o.Models},
		foreign: http.NewCrossOriginProtection(), drained: make(chan struct{}),
	}
	s.metrics = newMetrics(s)
	var err error
	if s.page, err = loadPage(o.Page); err != nil {
		return nil, err
	}
	s.register()
	return s, nil
}

// register names all routes.
func (s *Server) register() {
	s.handle("POST /v1/jobs", s.submit)
	s.handle("GET /v1/jobs", s.list)
	s.handle("GET /v1/jobs/{id}", s.job)
	s.handle("DELETE /v1/jobs/{id}", s.remove)
	s.handle("POST /v1/jobs/{id}/cancel", s.cancel)
	s.handle("GET /v1/jobs/{id}/events", s.events)
	s.handle("GET /v1/jobs/{id}/result", s.result)
	s.handle("GET /v1/jobs/{id}/input", s.input)
	s.handle("POST /v1/upscale", s.upscale)
	s.handle("GET /v1/models", s.models)
	s.handle("GET /metrics", s.serveMetrics)

	s.handle("GET /sdapi/v1/options", s.a1111Options)
	s.handle("GET /sdapi/v1/upscalers", s.a1111Upscalers)
	s.handle("POST /sdapi/v1/extra-single-image", s.a1111Single)
	s.handle("POST /sdapi/v1/extra-batch-images", s.a1111Batch)

	s.handleOpen("GET /v1/limits", s.limits)
	s.handleOpen("GET /healthz", s.healthz)
	s.handleOpen("GET /readyz", s.readyz)
	s.handleOpen("GET /openapi.json", s.openAPI)
	s.handleOpen("GET /{$}", s.static)
	s.handleOpen("GET /assets/{file...}", s.static)
	s.mux.HandleFunc("/assets", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errNowhere()) }) // no redirect
}

// Loopback tells whether nobody but this machine can reach an address of the form
// host:port.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && loopbackHost(host)
}

// Timeouts of connections. Handlers that take longer extend theirs.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 30 * time.Second
	maxHeader     = 32 << 10
)

// Serve answers on a listener until ctx ends. Then it takes no new connections,
// answers those who wait that their jobs go on, and returns when all requests are
// done, after 30 seconds at most. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if s.o.Keys == nil && !Loopback(l.Addr().String()) {
		l.Close()
		return fmt.Errorf("serve: %s can be reached from other machines, and there are no keys: make one with \"sr3 serve keys new NAME\", or listen on 127.0.0.1", l.Addr())
	}
	h := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(LimitListener(l, s.o.MaxConnections)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.Drain()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := h.Shutdown(stop); err != nil {
		h.Close()
		return fmt.Errorf("serve: requests were still open after %v: %w", drainTimeout, err)
	}
	return nil
}

// Drain ends event streams, and tells those who wait for a result that their jobs
// go on. New submissions are refused.
func (s *Server) Drain() { s.drainOne.Do(func() { close(s.drained) }) }

// draining tells whether the server goes down.
func (s *Server) draining() bool {
	select {
	case <-s.drained:
		return true
	default:
		return false
	}
}

// SpareProcessors lets the process use one more thread than it computes with, so that
// requests are answered while a network keeps every processor busy.
func SpareProcessors() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) }
