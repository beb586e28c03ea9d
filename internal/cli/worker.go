package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/worker"
)

// workerFlags are the settings of "sr3 worker".
type workerFlags struct {
	nats      natsFlags
	modelsDir string
	name      string
	parallel  int
	threads   int
	replicas  int
	drain     time.Duration
	quiet     bool
	limits    limitFlags
}

// natsFlags say where the queue is.
type natsFlags struct{ url, credentials string }

// register declares the flags.
func (f *natsFlags) register(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&f.url, "nats", "", usage+", as nats://HOST:PORT; several of a cluster are separated by commas")
	cmd.Flags().StringVar(&f.credentials, "nats-creds", "", "file of NATS credentials for --nats")
}

func newWorker(s *streams) *cobra.Command {
	f := &workerFlags{}
	cmd := &cobra.Command{
		Use:   "worker --nats URL [flags]",
		Short: "Do the jobs of a queue on another machine",
		Long: `worker takes images from a queue on a NATS server and enlarges them, until it is
stopped. The queue is filled by "sr3 serve --nats URL" and "sr3 upscale --nats URL";
any number of workers may share it, and may come and go.

URL is a NATS server with JetStream ("nats-server -js" is one), a cluster of them, or
the server in "sr3 serve" if that lets workers in. Users and passwords or tokens are
part of the URL: nats://TOKEN@HOST:4222. Whoever can connect can read and change all
jobs, so do not leave the server open to strangers.

While it works a worker renews its lease on the job. If it dies, is cut off or loses
power, another one takes the job up when the lease has run out, and only one of
them can deliver results.

Models are found by name, as in "sr3 model list", and in --models-dir before all others.
A job that asks for a model that this worker does not have is discarded, and so is one
beyond the --max- limits, so workers that share a queue should have the same models and
limits, and those of "sr3 serve".

Ctrl-C or a termination signal ends it: jobs in work have --drain to finish, then
they are handed back and wait for another worker. Exit code 0.`,
		Example: `  nats-server -js                                   on one machine
  sr3 worker --nats nats://10.0.0.5:4222            on others
  sr3 worker --nats nats://10.0.0.5 --parallel 4 -j 2
  sr3 upscale --nats nats://10.0.0.5 photos -o large`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.run(cmd.Context(), s)
		},
	}
	f.nats.register(cmd, "the NATS server to take jobs from")
	fl := cmd.Flags()
	addModelsDir(fl, &f.modelsDir)
	fl.StringVar(&f.name, "name", "", "what the worker is called in jobs and logs (default: host and process)")
	fl.IntVar(&f.parallel, "parallel", 1, "jobs at a time")
	addThreads(fl, &f.threads)
	fl.Lookup("threads").Usage = "processor threads for each job (default the processors shared among --parallel)"
	fl.DurationVar(&f.drain, "drain", 10*time.Second, "how long jobs in work may still take after Ctrl-C")
	fl.IntVar(&f.replicas, "replicas", 0, "on how many servers of a cluster the queue is stored from now on, 1 to 5 (default: as it is)")
	f.limits.register(fl)
	fl.BoolVar(&f.quiet, "quiet", false, "only warnings")
	return cmd
}

// check finds what is wrong with the flags.
func (f *workerFlags) check() error {
	switch {
	case f.nats.url == "":
		return usagef("which queue? Give --nats the URL of its NATS server")
	case f.parallel < 1 || f.parallel > 1024:
		return usagef("--parallel %d: want 1 to 1024", f.parallel)
	case f.replicas < 0 || f.replicas > 5:
		return usagef("--replicas %d: want 1 to 5", f.replicas)
	case f.drain < 0:
		return usagef("--drain %v: want 0 or more", f.drain)
	}
	if err := checkNumbers(f.limits.numbers()); err != nil {
		return err
	}
	if f.drain == 0 {
		f.drain = -1 // none at all
	}
	return nil
}

// run works until ctx ends.
func (f *workerFlags) run(ctx context.Context, s *streams) error {
	level := slog.LevelInfo
	if f.quiet {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: s.err}, &slog.HandlerOptions{Level: level}))
	models := worker.NewModels(f.modelsDir)
	defer models.Close()
	q, err := jobs.Open(ctx, jobs.Options{URL: f.nats.url, Credentials: f.nats.credentials, Replicas: f.replicas, Logger: log})
	if err != nil {
		return err
	}
	defer q.Close()
	threads := cmp.Or(f.threads, max(1, threadsOrAll(0)/f.parallel))
	do := worker.New(models, f.limits.limits(), threads)
	log.Info("ready for jobs", "parallel", f.parallel, "threads", threads, "models", strings.Join(models.Names(), " "))
	err = q.Work(ctx, jobs.Worker{Name: f.name, Parallel: f.parallel, Drain: f.drain, Do: func(ctx context.Context, t *jobs.Task) error {
		return logged(ctx, log, t, do)
	}})
	log.Info("stopped")
	return err
}

// logged does a job and says how it went.
func logged(ctx context.Context, log *slog.Logger, t *jobs.Task, do *worker.Doer) error {
	j := t.Job()
	log = log.With("job", j.ID, "attempt", j.Attempt)
	log.Info("begun", "image", j.Input.Name, "size", fmt.Sprintf("%dx%d", j.Input.Width, j.Input.Height), "model", cmp.Or(j.Settings.Model, model.DefaultName))
	start := time.Now()
	err := do.Do(ctx, t)
	took := time.Since(start).Round(time.Millisecond)
	var fault *jobs.Fault
	switch {
	case err == nil:
		log.Info("done", "took", took)
	case ctx.Err() != nil:
		log.Info("stopped", "took", took, "because", context.Cause(ctx))
	case errors.As(err, &fault):
		log.Warn("cannot be done", "code", fault.Code, "reason", fault.Detail)
	default:
		log.Warn("failed", "error", err)
	}
	return err
}

// lockedWriter lets several goroutines write lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write writes all of p at once.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
