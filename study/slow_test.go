package study_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3/study"
)

// TestSlowReaders opens many downloads of a large image and reads none of them: the
// server must not hold the image for each.
func TestSlowReaders(t *testing.T) {
	f := build(t, 3, nil)
	const size, readers = 16 << 20, 40
	files, err := filepath.Glob(filepath.Join(f.Dir, "images", "*.png"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files { // of no other length than images may have
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, f, study.Options{})
	page := s.join(t)
	_, data := post(t, page+"/consent", `{"agree":true}`)
	image := parse(t, data).Trials[0].Left
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range readers {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: study\r\n\r\n", image)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 16)); err != nil { // the answer has begun
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > readers*size/4 {
		t.Errorf("%d readers of %d MiB took %d MiB", readers, size>>20, got>>20)
	}
	if r, got := get(t, s.url+image); r.StatusCode != http.StatusOK || r.ContentLength != size || len(got) != size {
		t.Errorf("%d, %d of %d bytes", r.StatusCode, len(got), r.ContentLength)
	}
}
