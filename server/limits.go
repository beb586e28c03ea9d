package server

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// budget is a number of things of which only so many may be in use.
type budget struct {
	mu        sync.Mutex
	used, max int64
}

func newBudget(limit int64) *budget { return &budget{max: limit} }

// take reserves n, or says that there is no room. What is larger than the whole
// budget may be had alone.
func (b *budget) take(n int64) (release func(), ok bool) {
	n = min(n, b.max)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.max {
		return nil, false
	}
	b.used += n
	var once sync.Once
	return func() {
		once.Do(func() {
			b.mu.Lock()
			b.used -= n
			b.mu.Unlock()
		})
	}, true
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// rates limits submissions of each owner.
type rates struct {
	perSecond float64
	burst     int

	mu     sync.Mutex
	owners map[string]*rate.Limiter // as many as there were keys
}

// take uses up n submissions, or says how long to wait.
func (l *rates) take(owner string, n int) (wait time.Duration, ok bool) {
	if l.perSecond <= 0 || n < 1 {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owners == nil {
		l.owners = map[string]*rate.Limiter{}
	}
	limiter := l.owners[owner]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(l.perSecond), l.burst)
		l.owners[owner] = limiter
	}
	now := time.Now()
	r := limiter.ReserveN(now, min(n, l.burst))
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// minBodyRate is how many bytes a second a body has to bring after the grace time.
const minBodyRate = 16 << 10

// maxBodyPause is the longest time without any byte.
const maxBodyPause = 15 * time.Second

// pacedBody is a request's body that fails if it comes too slowly: without that, a
// few connections that send a byte a minute would hold their memory for ever.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	start   time.Time
	grace   time.Duration
	read    int64
}

func (b *pacedBody) Read(p []byte) (int, error) {
	now := time.Now()
	latest := b.start.Add(b.grace + time.Duration(float64(b.read)/minBodyRate*float64(time.Second)))
	if pause := now.Add(min(maxBodyPause, b.grace)); pause.Before(latest) {
		latest = pause
	}
	// Where the connection has no deadlines, as in tests without one, there is
	// nothing to protect.
	_ = b.control.SetReadDeadline(latest)
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}

// pace bounds a request's body in length and slowness.
func (s *Server) pace(w http.ResponseWriter, r *http.Request, limit int64) {
	body := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), start: time.Now(), grace: s.o.BodyGrace}
	r.Body = http.MaxBytesReader(w, body, limit)
}

// unhurried lifts the deadlines of a request whose body has been read and whose
// answer may take long. Reading has none any more: net/http reads on to notice that
// the client went away.
func unhurried(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Now().Add(d))
}

// pacedWriter is an answer that fails if it is accepted too slowly: a client that
// reads nothing would otherwise hold the memory of a large answer for as long as all
// of it could take.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	start   time.Time
	written int64
}

// newPacedWriter begins the time of an answer whose request has been read.
func newPacedWriter(w http.ResponseWriter) *pacedWriter {
	p := &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w), start: time.Now()}
	_ = p.control.SetReadDeadline(time.Time{})
	p.extend(0)
	return p
}

func (w *pacedWriter) extend(n int) {
	d := writeTimeout + time.Duration(float64(w.written+int64(n))/minBodyRate*float64(time.Second))
	_ = w.control.SetWriteDeadline(w.start.Add(d))
}

// Write writes in parts: each gives time for itself alone.
func (w *pacedWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		part := p[:min(len(p), 64<<10)]
		w.extend(len(part))
		var k int
		k, err = w.ResponseWriter.Write(part)
		w.written, n, p = w.written+int64(k), n+k, p[k:]
	}
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limitListener is what [LimitListener] returns.
type limitListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

// LimitListener accepts n connections at a time; others wait in the kernel.
func LimitListener(l net.Listener, n int) net.Listener {
	return &limitListener{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{})}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// Bounds of what Retry-After says.
const minRetry, maxRetry = 1, 120

// untilRoom estimates when a full queue has room again: a quarter of it has to be
// done, so that those who come back do not fight for one place.
func (s *Server) untilRoom(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	stats, err := s.o.Queue.Stats(ctx)
	if err != nil {
		return 10 * time.Second
	}
	seconds := s.metrics.jobSeconds() * float64(stats.Waiting) / 4 / float64(s.o.Parallel)
	return time.Duration(math.Ceil(min(max(seconds, minRetry), maxRetry))) * time.Second
}
