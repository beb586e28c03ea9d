package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// startTime is how long the embedded server may take to read its store.
	startTime = 2 * time.Minute
	// syncInterval is how often the embedded server makes the system write what it was
	// given, unless Options.Sync; JetStream's own default is two minutes.
	syncInterval = 10 * time.Second
	// maxStore is no limit: the stream of images has its own. The server refuses to open
	// streams that were allowed more than it is, so it must not depend on the options.
	maxStore = 1 << 60
)

// embedded is a NATS server in this process.
type embedded struct {
	srv   *server.Server
	lock  *os.File
	url   string // for workers elsewhere; empty if nobody may connect
	token string
}

// startEmbedded starts a server whose store is in o.Dir.
func startEmbedded(o *Options) (*embedded, error) {
	if o.Dir == "" {
		return nil, errors.New("open the queue: give a folder for its store, or the URL of a NATS server")
	}
	e := &embedded{}
	if err := e.lockStore(o.Dir); err != nil {
		return nil, err
	}
	if err := e.start(o); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// lockStore makes the folder, for this user alone, and takes its lock.
func (e *embedded) lockStore(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open the queue: make folder %s: %w", dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("open the queue: make folder %s private: %w", dir, err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the queue: %w", err)
	}
	if err := lockFile(f); err != nil {
		pid, _ := os.ReadFile(path)
		_ = f.Close()
		who := "another process"
		if id := strings.TrimSpace(string(pid)); id != "" {
			who += " (" + id + ")"
		}
		return fmt.Errorf("open the queue: the store %s is in use by %s; stop that one, or give another folder: %w", dir, who, ErrLocked)
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // only for the message above
	e.lock = f
	return nil
}

// start configures the server and waits until it is ready.
func (e *embedded) start(o *Options) error {
	opts := &server.Options{
		ServerName: "sr3", DontListen: true, NoSigs: true, JetStream: true, StoreDir: filepath.Join(o.Dir, "nats"),
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: maxStore,
		SyncAlways: o.Sync, SyncInterval: syncInterval, MaxControlLine: 4096,
	}
	if o.Listen != "" {
		if err := e.listen(opts, o); err != nil {
			return err
		}
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("open the queue: start the embedded NATS server: %w", err)
	}
	log := &serverLog{log: o.Logger}
	srv.SetLoggerV2(log, false, false, false)
	e.srv = srv
	srv.Start()
	if !srv.ReadyForConnections(startTime) || !srv.JetStreamEnabled() {
		return fmt.Errorf("open the queue: the embedded NATS server did not start: %s", cmp.Or(log.last(), "it is not ready after "+startTime.String()))
	}
	if o.Listen != "" {
		e.url = "nats://" + e.token + "@" + srv.Addr().String()
	}
	return nil
}

// listen lets workers elsewhere in that show the token.
func (e *embedded) listen(opts *server.Options, o *Options) error {
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("open the queue: workers cannot connect to %s: %w; give another address, or stop what uses it", o.Listen, err)
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close() // the server opens it again
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return fmt.Errorf("open the queue: %w", err)
	}
	if e.token, err = workerToken(o); err != nil {
		return err
	}
	opts.DontListen, opts.Host, opts.Port, opts.Authorization = false, cmp.Or(host, "0.0.0.0"), addr.Port, e.token
	return nil
}

// workerToken is what workers elsewhere have to show: the one given, else the one
// that is kept beside the store.
func workerToken(o *Options) (string, error) {
	if o.Token != "" {
		return o.Token, nil
	}
	path := filepath.Join(o.Dir, "worker-token")
	data, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(data))) >= 16 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("open the queue: read the token of workers: %w", err)
	}
	token := newNonce() + newNonce()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the queue: write the token of workers: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("open the queue: write the token of workers: %w", err)
	}
	return token, nil
}

// stop ends the server and releases the store.
func (e *embedded) stop() {
	if e.srv != nil {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}
	if e.lock != nil {
		_ = e.lock.Close()
	}
}

// serverLog passes the server's messages on and keeps the last complaint.
type serverLog struct {
	log       *slog.Logger
	complaint atomic.Pointer[string]
}

func (l *serverLog) last() string {
	if s := l.complaint.Load(); s != nil {
		return *s
	}
	return ""
}

func (l *serverLog) keep(format string, v ...any) string {
	s := fmt.Sprintf(format, v...)
	l.complaint.Store(&s)
	return s
}

func (l *serverLog) Noticef(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Warnf(f string, v ...any)   { l.log.Warn("nats: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Fatalf(f string, v ...any)  { l.log.Error("nats: " + l.keep(f, v...)) }
func (l *serverLog) Errorf(f string, v ...any)  { l.log.Error("nats: " + l.keep(f, v...)) }
func (l *serverLog) Debugf(string, ...any)      {}
func (l *serverLog) Tracef(string, ...any)      {}
