package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/worker"
)

// metrics are what Prometheus is told. Labels come from finite sets: routes, status
// codes, states, and the names of models that exist.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	jobs     *prometheus.CounterVec
	job      *prometheus.HistogramVec
	step     *prometheus.HistogramVec
	names    func() []string

	mu   sync.Mutex
	mean float64 // seconds of a job, of late
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), names: s.o.Models.Names,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sr3_http_requests_total", Help: "HTTP requests by route and status code."}, []string{"route", "code"}),
		jobs:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sr3_jobs_total", Help: "Jobs that came into a state: available when this server accepted them, the others when its own workers left them so."}, []string{"state", "model"}),
		job:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sr3_job_duration_seconds", Help: "Time that this server's workers took for a job.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 15)}, []string{"model"}),
		step:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sr3_refine_step_duration_seconds", Help: "Time between refinement steps of this server's workers.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 15)}, []string{"model"}),
	}
	m.registry.MustRegister(m.requests, m.jobs, m.job, m.step, queueCollector{s.o.Queue},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sr3_model_loaded_bytes", Help: "Memory of the weights of open models."}, func() float64 { return float64(s.o.Models.Bytes()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sr3_http_waiting", Help: "Requests that wait for a result."}, func() float64 { return float64(s.waiting.inUse()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sr3_http_event_streams", Help: "Open streams of events."}, func() float64 { return float64(s.streams.inUse()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sr3_http_body_bytes", Help: "Memory set aside for bodies and results on their way."}, func() float64 { return float64(s.memory.inUse()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// queueCollector asks the queue when it is asked itself.
type queueCollector struct{ queue Queue }

var (
	depthDesc   = prometheus.NewDesc("sr3_queue_depth", "Jobs that wait for a worker.", nil, nil)
	runningDesc = prometheus.NewDesc("sr3_queue_running", "Jobs that workers have.", nil, nil)
	storedDesc  = prometheus.NewDesc("sr3_queue_stored_bytes", "Bytes of inputs and results in the store.", nil, nil)
)

// Describe names the metrics.
func (c queueCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- depthDesc
	ch <- runningDesc
	ch <- storedDesc
}

// Collect reads them; a queue that does not answer has none.
func (c queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	stats, err := c.queue.Stats(ctx)
	if err != nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(stats.Waiting))
	ch <- prometheus.MustNewConstMetric(runningDesc, prometheus.GaugeValue, float64(stats.Running))
	ch <- prometheus.MustNewConstMetric(storedDesc, prometheus.GaugeValue, float64(stats.Bytes))
}

func (m *metrics) request(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}

// model is the label for a model's name: one that exists.
func (m *metrics) model(name string) string {
	if slices.Contains(m.names(), name) {
		return name
	}
	return "other"
}

// accepted counts a new job.
func (m *metrics) accepted(j jobs.Job) {
	m.jobs.WithLabelValues(string(j.State), m.model(j.Settings.Model)).Inc()
}

// done counts what has become of a worker's attempt.
func (m *metrics) done(model string, err error, took time.Duration) {
	state, fault := jobs.Completed, (*jobs.Fault)(nil)
	switch {
	case err == nil:
		m.job.WithLabelValues(model).Observe(took.Seconds())
		m.mu.Lock()
		if m.mean == 0 {
			m.mean = took.Seconds()
		}
		m.mean += (took.Seconds() - m.mean) / 8
		m.mu.Unlock()
	case errors.As(err, &fault):
		state = jobs.Discarded
	case errors.Is(err, context.Canceled):
		state = jobs.Cancelled
	default:
		state = jobs.Retryable
	}
	m.jobs.WithLabelValues(string(state), model).Inc()
}

// jobSeconds is how long a job takes; 2 while that is not known.
func (m *metrics) jobSeconds() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mean == 0 {
		return 2
	}
	return m.mean
}

// Observe makes what a worker does visible in the metrics: the jobs that do is given,
// how long they and their steps take, and how they end.
func (s *Server) Observe(do func(context.Context, worker.Task) error) func(context.Context, worker.Task) error {
	return func(ctx context.Context, t worker.Task) error {
		model := s.metrics.model(t.Job().Settings.Model)
		start := time.Now()
		err := do(ctx, &observedTask{Task: t, last: start, steps: s.metrics.step.WithLabelValues(model)})
		s.metrics.done(model, err, time.Since(start))
		return err
	}
}

// observedTask measures the steps of a task. One goroutine works on it.
type observedTask struct {
	worker.Task
	steps prometheus.Observer
	last  time.Time
}

func (t *observedTask) Progress(p jobs.Progress, preview func() ([]byte, string)) {
	now := time.Now()
	t.steps.Observe(now.Sub(t.last).Seconds())
	t.last = now
	t.Task.Progress(p, preview)
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	release, ok := s.scrapes.take(1)
	if !ok {
		return errBusy("requests for metrics")
	}
	defer release()
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
	return nil
}
