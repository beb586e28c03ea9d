package cli

import (
	"bufio"
	"bytes"
	"context"
	"image"
	"image/png"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestServe runs the command: it prints its address, serves the page, enlarges an
// image, and ends with code 0 when it is interrupted.
func TestServe(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("SR3_MODELS", t.TempDir())
	ctx, interrupt := context.WithCancel(t.Context())
	out, outWriter := io.Pipe()
	var log lockedBuffer
	code := make(chan int, 1)
	go func() {
		code <- Run(ctx, []string{"serve", "--addr", "127.0.0.1:0"}, nil, outWriter, &log)
		outWriter.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "Open ")
	if err != nil || !ok {
		t.Fatalf("it printed %q (%v): %s", line, err, log.String())
	}
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || !bytes.Contains(body, []byte("<html")) {
		t.Errorf("the page: status %d, %.100q", res.StatusCode, body)
	}
	var small bytes.Buffer
	if err := png.Encode(&small, image.NewNRGBA(image.Rect(0, 0, 8, 6))); err != nil {
		t.Fatal(err)
	}
	res, err = http.Post(url+"v1/upscale?steps=1", "image/png", &small)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.DecodeConfig(res.Body)
	res.Body.Close()
	if err != nil || img.Width != 32 || img.Height != 24 {
		t.Errorf("status %d, %dx%d (%v)", res.StatusCode, img.Width, img.Height, err)
	}
	interrupt()
	if got := <-code; got != ExitDone {
		t.Errorf("exit code %d, want %d: %s", got, ExitDone, log.String())
	}
	if !strings.Contains(log.String(), "jobs that wait stay in the store") {
		t.Errorf("it said: %s", log.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
