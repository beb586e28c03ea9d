package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/server"
	"github.com/sr3-go/sr3/study"
)

// studyServeFlags is the command line of "sr3 study serve".
type studyServeFlags struct {
	addr, base string
	open       bool
}

func newStudyServe(s *streams) *cobra.Command {
	f := &studyServeFlags{}
	cmd := &cobra.Command{
		Use:   "serve FOLDER",
		Short: "Show a study to people",
		Long: `serve shows a study at an address of this machine until it is interrupted. People
come by links of their own, see "sr3 study links"; with --open anybody who knows the
address can take part.

The address is for this machine alone unless --addr says otherwise, such as
--addr :8190 for all who can reach it. That is safe as far as links are: there is
nothing behind the address but the study, and no way to its answers. Where people come
over the internet, put a server with a certificate before it, and say with --url what
links begin with.

An answer is on the disk before the browser is told so. Of those who take part nothing
is stored but their answers, times and the day: no name, no address, no browser.`,
		Example: `  sr3 study serve faces
  sr3 study serve faces --addr :8190 --url https://study.example.org --open`,
		Args: nArgs(1, "the folder of a study"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), s, args[0]) },
	}
	cmd.Flags().StringVar(&f.addr, "addr", defaultStudyAddress, "HOST:PORT to listen at")
	cmd.Flags().StringVar(&f.base, "url", "", "what links begin with (default: from --addr)")
	cmd.Flags().BoolVar(&f.open, "open", false, "let anybody with the address take part")
	return cmd
}

func (f *studyServeFlags) run(ctx context.Context, s *streams, dir string) error {
	if _, err := studyBase(f.base, f.addr); err != nil {
		return err
	}
	folder, err := study.Open(dir)
	if err != nil {
		return err
	}
	if err := folder.Verify(); err != nil {
		return err
	}
	store, err := folder.OpenStore(ctx)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(s.err, nil))
	handler, err := study.NewServer(ctx, folder, store, study.Options{Open: f.open, Logger: logger})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen at %s: %w; choose another with --addr", f.addr, err), store.Close())
	}
	err = f.greet(ctx, s, folder, store, dir, listener.Addr().String())
	if err == nil {
		err = serveUntil(ctx, listener, handler, logger)
	}
	return errors.Join(err, store.Close())
}

// greet says where the study is and who can reach it.
func (f *studyServeFlags) greet(ctx context.Context, s *streams, folder *study.Folder, store *study.Store, dir, addr string) error {
	base, err := studyBase(f.base, addr)
	if err != nil {
		return err
	}
	p, err := store.Progress(ctx)
	if err != nil {
		return err
	}
	unused, err := store.Unused(ctx)
	if err != nil {
		return err
	}
	m := &folder.Manifest
	fmt.Fprintf(s.out, "study %q: task %d, %s, %s; %s so far, %d finished\n", m.Title, m.Task, plural(len(m.Images), "image"), plural(len(m.Methods), "method"), plural(p.Agreed, "subject"), p.Finished)
	if f.open {
		fmt.Fprintf(s.out, "open to anybody at %s/\n", base)
	}
	const few = 5
	for _, token := range unused[:min(few, len(unused))] {
		fmt.Fprintf(s.out, "%s/s/%s\n", base, token)
	}
	switch {
	case len(unused) > few:
		fmt.Fprintf(s.out, "and %d more unused links: sr3 study links %s --unused\n", len(unused)-few, dir)
	case len(unused) == 0 && !f.open:
		fmt.Fprintf(s.out, "there are no unused links: sr3 study links %s -n 20\n", dir)
	}
	if host, _, err := net.SplitHostPort(addr); err == nil && !net.ParseIP(host).IsLoopback() {
		fmt.Fprintf(s.err, "sr3: %s can be reached from other machines, without encryption\n", addr)
	}
	return nil
}

// maxStudyConnections bounds the connections of a study.
const maxStudyConnections = 4096

// serveUntil answers requests until ctx ends, then lets those under way finish.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	web := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- web.Shutdown(last)
	})
	err := web.Serve(server.LimitListener(l, maxStudyConnections))
	if !stop() { // interrupted: the way a study ends
		return <-stopped
	}
	return fmt.Errorf("serve: %w", err)
}
