package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/server"
	"github.com/sr3-go/sr3/web"
	"github.com/sr3-go/sr3/worker"
)

// serveFlags are the settings of "sr3 serve".
type serveFlags struct {
	addr        string
	keys        string
	modelsDir   string
	parallel    int
	threads     int
	rate        float64
	wait        time.Duration
	verbose     bool
	quiet       bool
	queue       jobs.Options
	limits      limitFlags
	maxWaiting  int
	maxStreams  int
	maxMemoryMB int64
	maxStoreMB  int64
	given       func(flag string) bool // on the command line
}

func newServe(s *streams) *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve [--addr 127.0.0.1:7860] [--dir STORE] [--keys FILE] [--nats URL]",
		Short: "Serve a page and an HTTP interface that enlarge images",
		Long: `serve answers HTTP: a page for people at /, an interface for programs below /v1/
(described at /openapi.json and in docs/serve.md), and the dialect of the A1111 web
UI's upscalers, so that its clients work unchanged. It prints the address to open.

Images wait in a durable queue: a job that was accepted is done once, or ends in a
state that says why not. The queue is a NATS JetStream server in this process with
its store in --dir, which one process at a time uses. Killing the process at any
moment loses nothing. A power cut, or a crash of the operating system, can lose what
changed in the 10 seconds before, because writes are collected before they go to the
disk: jobs accepted in that time may be forgotten, and finished ones be done again.
--sync writes through to the disk before anything is acknowledged; then an accepted
job survives a power cut too, and each submission waits for the disk.

With --nats the queue is on a NATS server or cluster elsewhere, which decides itself
how it writes; "sr3 worker --nats URL" on other machines does jobs from it, and
--parallel 0 leaves all of them to those. --nats-listen lets workers elsewhere connect
to the queue in this process.

On a loopback address, which is the default, nobody needs a key until there is a file of
keys: whoever can log in on this machine can use the server and see all jobs. Pages of
other sites are kept out. To listen on any other address, make keys first: "sr3 serve
keys new NAME" prints a key once and stores its hash; --keys names the file, and without
it the default one is used if it exists. From then on a key is needed on a loopback
address too. A job and its images are seen only with the key that made it. Keys are
read again when the file changes, or on SIGHUP. Keys and images are sent as they are:
put a reverse proxy with TLS before a server that is reached over a network.

An interrupt (Ctrl-C) or SIGTERM takes no new requests, finishes or hands back the jobs
that run, and ends with code 0; jobs that wait stay in the store. A second one ends it
at once, which loses nothing either.`,
		Example: `  sr3 serve
  sr3 serve --addr 127.0.0.1:8080 --dir /srv/sr3 --sync
  sr3 serve keys new alice
  sr3 serve --addr 0.0.0.0:7860
  sr3 serve --nats nats://queue.example:4222 --nats-creds sr3.creds --parallel 0
  curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:7860/v1/upscale -o large.png`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.given = cmd.Flags().Changed
			return f.run(cmd.Context(), s)
		},
	}
	f.register(cmd)
	cmd.AddCommand(newServeKeys(s))
	return cmd
}

// register declares the flags.
func (f *serveFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.addr, "addr", "127.0.0.1:7860", "host:port to listen on; port 0 chooses one")
	fl.StringVar(&f.queue.Dir, "dir", "", "folder of the queue's store (default: "+defaultText(serveDir())+")")
	fl.StringVar(&f.keys, "keys", "", "file of keys, see \"sr3 serve keys\" (default, if it exists: "+defaultText(keysFile())+")")
	fl.StringVar(&f.queue.URL, "nats", "", "NATS server or cluster (URLs with commas) that has the queue, instead of one in this process")
	fl.StringVar(&f.queue.Credentials, "nats-creds", "", "file of NATS credentials for --nats")
	fl.StringVar(&f.queue.Listen, "nats-listen", "", "host:port at which workers elsewhere can connect to the queue in this process")
	fl.BoolVar(&f.queue.Sync, "sync", false, "write through to the disk before anything is acknowledged")
	addModelsDir(fl, &f.modelsDir)
	fl.IntVar(&f.parallel, "parallel", 1, "jobs that this process does at a time; 0 for none")
	addThreads(fl, &f.threads)
	fl.IntVar(&f.queue.MaxQueued, "max-queue", 512, "jobs that may wait; more are refused with 503")
	fl.Int64Var(&f.maxStoreMB, "max-store", 8192, "MiB that images of all jobs may take together")
	fl.DurationVar(&f.queue.Keep, "keep", 24*time.Hour, "how long jobs, images and results are kept")
	f.limits.register(fl)
	fl.Float64Var(&f.rate, "max-rate", 20, "submissions a second for each key, twice as many at once; more are refused with 429 (0: no limit)")
	fl.IntVar(&f.maxWaiting, "max-waiting", 256, "requests that may wait for their results at a time")
	fl.IntVar(&f.maxStreams, "max-streams", 256, "streams of events that may be open at a time")
	fl.Int64Var(&f.maxMemoryMB, "max-memory", 512, "MiB that uploads and downloads on their way may take together")
	fl.DurationVar(&f.wait, "wait", time.Minute, "how long POST /v1/upscale waits for its result before it answers 202")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log every request")
	fl.BoolVar(&f.quiet, "quiet", false, "log only what goes wrong")
}

// check finds what is wrong with the flags.
func (f *serveFlags) check() error {
	err := checkNumbers(f.limits.numbers(), []boundedInt{
		{"parallel", int64(f.parallel), 0}, {"max-queue", int64(f.queue.MaxQueued), 1}, {"max-store", f.maxStoreMB, 1},
		{"max-waiting", int64(f.maxWaiting), 1}, {"max-streams", int64(f.maxStreams), 1}, {"max-memory", f.maxMemoryMB, 1},
	})
	if err != nil {
		return err
	}
	switch {
	case !(f.rate >= 0 && f.rate <= 1e6):
		return usagef("--max-rate %v: want 0 or more", f.rate)
	case f.queue.Keep < time.Minute:
		return usagef("--keep %v: want a minute or more", f.queue.Keep)
	case f.wait < time.Second || f.wait > time.Hour:
		return usagef("--wait %v: want 1s to 1h", f.wait)
	case f.queue.URL != "" && (f.queue.Dir != "" || f.queue.Sync || f.queue.Listen != ""):
		return usagef("--dir, --sync and --nats-listen are for the queue in this process; with --nats it is elsewhere")
	case f.queue.Credentials != "" && f.queue.URL == "":
		return usagef("--nats-creds is for --nats")
	}
	if f.keys == "" {
		if _, err := os.Stat(keysFile()); err == nil {
			f.keys = keysFile()
		}
	}
	if host, _, err := net.SplitHostPort(f.addr); err != nil {
		return usagef("--addr %s: want host:port, as in 127.0.0.1:7860", f.addr)
	} else if f.keys == "" && !server.Loopback(f.addr) {
		return usagef("--addr %s: other machines can reach %s, and there are no keys. Make one with \"sr3 serve keys new NAME\", or listen on 127.0.0.1", f.addr, hostText(host))
	}
	return nil
}

func hostText(host string) string {
	if host == "" {
		return "every address"
	}
	return host
}

// run serves until ctx ends.
func (f *serveFlags) run(ctx context.Context, s *streams) error {
	if err := f.check(); err != nil {
		return err
	}
	log := f.logger(s)
	keys, err := f.openKeys(log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", f.addr)
	if err != nil {
		return fmt.Errorf("serve: %w; is another server running there? --addr chooses another port", err)
	}
	defer l.Close()
	queue, err := f.openQueue(ctx, log)
	if err != nil {
		return err
	}
	defer queue.Close()
	models := worker.NewModels(f.modelsDir)
	defer models.Close()
	if stats, err := queue.Stats(ctx); err == nil {
		f.queue.Keep = stats.Keep
	}
	w := &serveWorker{flags: f, queue: queue, log: log}
	srv, err := server.New(f.options(queue, models, keys, w, log))
	if err != nil {
		return err
	}
	w.do = srv.Observe(worker.New(models, f.limits.limits(), f.computeThreads()).Do)
	f.announce(s, l.Addr(), queue)
	return w.alongside(ctx, func(ctx context.Context) error {
		err := srv.Serve(ctx, l)
		if err == nil && !f.quiet {
			fmt.Fprintln(s.err, "sr3: going down; jobs that wait stay in the store")
		}
		return err
	})
}

// computeThreads chooses the threads of the networks, and has the process run on one
// more, so that requests are answered meanwhile.
func (f *serveFlags) computeThreads() int {
	threads := threadsOrAll(f.threads)
	server.SpareProcessors()
	return max(1, threads/max(1, f.parallel))
}

// logger writes to standard error.
func (f *serveFlags) logger(s *streams) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case f.verbose:
		level = slog.LevelDebug
	case f.quiet:
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
}

// openKeys reads the file of keys, if there is one, and has it read again on SIGHUP.
func (f *serveFlags) openKeys(log *slog.Logger) (*server.Keys, error) {
	if f.keys == "" {
		return nil, nil
	}
	keys, err := server.OpenKeys(f.keys, log)
	if err != nil {
		return nil, err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		for range hangup {
			keys.Reload()
		}
	}()
	return keys, nil
}

// openQueue opens the queue. It lives on after an interrupt, until the server and the
// worker have come to their ends.
func (f *serveFlags) openQueue(ctx context.Context, log *slog.Logger) (*jobs.Queue, error) {
	o := f.queue
	o.Logger, o.MaxBytes = log, f.maxStoreMB<<20
	if o.URL == "" && o.Dir == "" {
		if o.Dir = serveDir(); o.Dir == "" {
			return nil, usagef("--dir is needed: this user has no folder for data")
		}
	}
	if o.URL != "" { // shared with others: what is not said stays as it is
		if !f.given("keep") {
			o.Keep = 0
		}
		if !f.given("max-queue") {
			o.MaxQueued = 0
		}
		if !f.given("max-store") {
			o.MaxBytes = 0
		}
	}
	return jobs.Open(context.WithoutCancel(ctx), o)
}

// options are those of the server.
func (f *serveFlags) options(queue *jobs.Queue, models *worker.Models, keys *server.Keys, w *serveWorker, log *slog.Logger) server.Options {
	return server.Options{
		Queue: queue, Models: models, Limits: f.limits.limits(), Keys: keys, Page: web.Files(), Keep: f.queue.Keep, Wait: f.wait, MaxWaiting: f.maxWaiting, MaxStreams: f.maxStreams,
		MaxMemory: f.maxMemoryMB << 20, Rate: f.rate, Parallel: f.parallel, Ready: w.ready, Logger: log,
	}
}

// announce says where the server is.
func (f *serveFlags) announce(s *streams, addr net.Addr, queue *jobs.Queue) {
	url := "http://" + addr.String() + "/"
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		url = fmt.Sprintf("http://localhost:%d/", tcp.Port)
	}
	fmt.Fprintf(s.out, "Open %s\n", url)
	if f.quiet {
		return
	}
	where := "queue on " + f.queue.URL
	if f.queue.URL == "" {
		where = "store in " + defaultText(cmp.Or(f.queue.Dir, serveDir()))
	}
	who := "nobody needs a key"
	if f.keys != "" {
		who = "keys from " + f.keys
	}
	fmt.Fprintf(s.err, "sr3: %s; %s; stop with Ctrl-C\n", where, who)
	if worker := queue.WorkerURL(); worker != "" {
		fmt.Fprintf(s.err, "sr3: workers elsewhere: sr3 worker --nats '%s' (whoever knows this address can do all)\n", worker)
	}
}

// serveWorker does the jobs of the queue in this process.
type serveWorker struct {
	flags *serveFlags
	queue *jobs.Queue
	log   *slog.Logger
	do    func(context.Context, worker.Task) error

	mu     sync.Mutex
	failed error
}

// ready says why jobs are not being done.
func (w *serveWorker) ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// alongside does jobs while serve runs. If either fails, both end.
func (w *serveWorker) alongside(ctx context.Context, serve func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if w.flags.parallel == 0 {
		return serve(ctx)
	}
	worked := make(chan error, 1)
	go func() {
		err := w.queue.Work(ctx, jobs.Worker{Parallel: w.flags.parallel, Do: func(ctx context.Context, t *jobs.Task) error { return w.do(ctx, t) }})
		if ctx.Err() == nil {
			w.log.Error("the worker has stopped", "error", err)
			w.mu.Lock()
			w.failed = errors.Join(errors.New("the worker has stopped"), err)
			w.mu.Unlock()
			stop()
			worked <- w.ready()
			return
		}
		worked <- nil
	}()
	err := serve(ctx)
	stop()
	return errors.Join(err, <-worked)
}

// dataDir is where programs of this user keep their data; empty if there is no such
// place.
func dataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if runtime.GOOS == "windows" {
		return os.Getenv("LocalAppData")
	}
	home, err := os.UserHomeDir()
	switch {
	case err != nil:
		return ""
	case runtime.GOOS == "darwin":
		return filepath.Join(home, "Library", "Application Support")
	}
	return filepath.Join(home, ".local", "share")
}

// inDataDir is a path in sr3's part of it.
func inDataDir(name string) string {
	if dir := dataDir(); dir != "" {
		return filepath.Join(dir, "sr3", name)
	}
	return ""
}

func serveDir() string { return inDataDir("serve") }
func keysFile() string { return inDataDir("keys.json") }

func defaultText(path string) string { return cmp.Or(path, "none") }
