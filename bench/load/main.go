// Command load puts "sr3 serve" under load: clients that post images as fast as they
// are answered and honour nothing, while /healthz is asked all the time. It prints how
// the requests were answered, how long /healthz took, and how much memory the server
// had.
//
//	sr3 serve --addr 127.0.0.1:7860 & go run ./bench/load -pid $! -clients 200 -time 60s
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:7860", "of the server")
	clients := flag.Int("clients", 200, "that post at a time")
	length := flag.Duration("time", time.Minute, "how long they do")
	size := flag.Int("size", 64, "side of their images in pixels")
	path := flag.String("path", "/v1/upscale", "to post to")
	key := flag.String("key", "", "to send, if the server wants one")
	pid := flag.Int("pid", 0, "of the server, whose memory to watch; 0 for none")
	flag.Parse()
	if err := run(*url, *path, *key, *clients, *size, *pid, *length); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// tally counts answers.
type tally struct {
	mu      sync.Mutex
	answers map[string]int
	bad     int // 429 and 503 without Retry-After
	took    map[string][]time.Duration
}

func (t *tally) add(kind string, took time.Duration, bad bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers[kind]++
	t.took[kind] = append(t.took[kind], took)
	if bad {
		t.bad++
	}
}

// run does everything and prints the result. It is an error if an answer was none of
// those that a server under load may give.
func run(url, path, key string, clients, size, pid int, length time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	t := &tally{answers: map[string]int{}, took: map[string][]time.Duration{}}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, MaxConnsPerHost: 0}, Timeout: 2 * time.Minute}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			image := randomImage(size)
			for ctx.Err() == nil {
				post(ctx, client, url+path, key, image, t)
			}
		})
	}
	var health []time.Duration
	var memory int64
	wg.Go(func() { health = askHealth(ctx, url, t) })
	wg.Go(func() { memory = watchMemory(ctx, pid) })
	wg.Wait()
	report(t, health, memory, length)
	for kind := range t.answers {
		if !slices.Contains([]string{"200", "202", "429", "503"}, kind) {
			return fmt.Errorf("%d answers were %q", t.answers[kind], kind)
		}
	}
	if t.bad > 0 {
		return fmt.Errorf("%d answers 429 or 503 had no Retry-After", t.bad)
	}
	return nil
}

// post sends one image.
func post(ctx context.Context, client *http.Client, url, key string, image []byte, t *tally) {
	start := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(image))
	if err != nil {
		t.add(err.Error(), 0, true)
		return
	}
	r.Header.Set("Content-Type", "image/png")
	if key != "" {
		r.Header.Set("X-API-Key", key)
	}
	res, err := client.Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	switch {
	case ctx.Err() != nil: // the time is over; this one does not count
	case err != nil:
		t.add(reason(err), time.Since(start), false)
	default:
		refused := res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable
		t.add(strconv.Itoa(res.StatusCode), time.Since(start), refused && res.Header.Get("Retry-After") == "")
	}
}

// reason shortens an error to what many have in common.
func reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.As(err, &op):
		return op.Op + " failed"
	}
	return err.Error()
}

// askHealth asks /healthz all the time, on connections of its own.
func askHealth(ctx context.Context, url string, t *tally) []time.Duration {
	var took []time.Duration
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	for ctx.Err() == nil {
		start := time.Now()
		res, err := client.Get(url + "/healthz")
		if err != nil || res.StatusCode != http.StatusOK {
			t.add("healthz failed", time.Since(start), true)
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		took = append(took, time.Since(start))
		time.Sleep(10 * time.Millisecond)
	}
	return took
}

var residentLine = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// watchMemory returns the most memory that a process had.
func watchMemory(ctx context.Context, pid int) (most int64) {
	for pid > 0 && ctx.Err() == nil {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if m := residentLine.FindSubmatch(data); err == nil && m != nil {
			kib, _ := strconv.ParseInt(string(m[1]), 10, 64)
			most = max(most, kib<<10)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return most
}

// randomImage is noise, the image that compresses least.
func randomImage(size int) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	rand.Read(img.Pix)
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.NoCompression}
	if err := e.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// report prints the figures.
func report(t *tally, health []time.Duration, memory int64, length time.Duration) {
	for _, kind := range slices.Sorted(maps.Keys(t.answers)) {
		fmt.Printf("%-20s %8d  %7.1f/s  %s\n", kind, t.answers[kind], float64(t.answers[kind])/length.Seconds(), percentiles(t.took[kind]))
	}
	fmt.Printf("%-20s %8d             %s\n", "healthz", len(health), percentiles(health))
	if memory > 0 {
		fmt.Printf("memory of the server %d MiB at most\n", memory>>20)
	}
}

// percentiles are those of some times.
func percentiles(took []time.Duration) string {
	if len(took) == 0 {
		return ""
	}
	slices.Sort(took)
	var parts []string
	for _, p := range []float64{0.5, 0.9, 0.99, 1} {
		i := min(len(took)-1, int(p*float64(len(took))))
		parts = append(parts, fmt.Sprintf("p%g %v", p*100, took[i].Round(100*time.Microsecond)))
	}
	return strings.Join(parts, "  ")
}
