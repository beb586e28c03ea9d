package tfevents

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fixedClock is 2020-09-13 12:26:40 UTC, 1.6e9 seconds, whatever the day.
func fixedClock() time.Time { return time.Unix(1_600_000_000, 0) }

// TestFirstRecord compares the start of a file with the bytes that TensorFlow's own writer puts there: the record that
// names the version has 24 bytes, and the masked CRC of that length is a3 7f 4b 22.
func TestFirstRecord(t *testing.T) {
	data := writeFile(t, 0, func(*Writer) {})
	want := []byte("\x18\x00\x00\x00\x00\x00\x00\x00\xa3\x7f\x4b\x22\x09\x00\x00\x00\x00\x84\xd7\xd7\x41\x1a\x0dbrain.Event:2")
	if !bytes.HasPrefix(data, want) {
		t.Fatalf("file starts with\n% x, want\n% x", data[:min(len(data), len(want))], want)
	}
}

func TestMaskedCRC(t *testing.T) {
	// RFC 3720 appendix B.4: the CRC-32C of 32 zero bytes is 8a9136aa.
	crc := uint32(0x8a9136aa)
	want := (crc>>15 | crc<<17) + 0xa282ead8
	if got := maskedCRC(make([]byte, 32)); got != want {
		t.Fatalf("masked CRC %08x, want %08x", got, want)
	}
}

func TestScalarsAndImages(t *testing.T) {
	png := []byte("\x89PNG pretended")
	data := writeFile(t, 70, func(w *Writer) {
		w.Scalar("loss/train", 300, 0.25)
		w.Image("grid", 301, 640, 480, png)
	})
	records := readRecords(t, data)
	if len(records) != 4 {
		t.Fatalf("%d records, want version, session, scalar and image", len(records))
	}
	session := fields(t, records[1])
	if session[fieldStep].number != 70 || fields(t, session[fieldSessionLog].bytes)[sessionStatus].number != sessionStart {
		t.Errorf("session record is %v", session)
	}
	scalar := fields(t, records[2])
	value := fields(t, fields(t, scalar[fieldSummary].bytes)[summaryValue].bytes)
	if scalar[fieldStep].number != 300 || string(value[valueTag].bytes) != "loss/train" ||
		math.Float32frombits(uint32(value[valueSimple].number)) != 0.25 {
		t.Errorf("scalar record is %v, %v", scalar, value)
	}
	if wall := math.Float64frombits(scalar[fieldWallTime].number); wall != 1.6e9 {
		t.Errorf("wall time %v", wall)
	}
	picture := fields(t, records[3])
	value = fields(t, fields(t, picture[fieldSummary].bytes)[summaryValue].bytes)
	img := fields(t, value[valueImage].bytes)
	if img[imageHeight].number != 480 || img[imageWidth].number != 640 || img[imageColorspace].number != 3 ||
		!bytes.Equal(img[imageEncoded].bytes, png) {
		t.Errorf("image record is %v", img)
	}
}

func TestFilesOfOneSecondDiffer(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		w, err := create(dir, 0, fixedClock)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.1600000000.*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("files %v, %v", names, err)
	}
}

func TestErrorsAreReported(t *testing.T) {
	if _, err := Create(filepath.Join(t.TempDir(), "missing"), 0); err == nil {
		t.Error("a missing folder is not reported")
	}
	w, err := Create(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w.file.Close()
	w.Scalar("a", 1, 1)
	if err := w.Flush(); err == nil || !strings.Contains(err.Error(), "tfevents") {
		t.Errorf("writing to a closed file gives %v", err)
	}
}

func writeFile(t *testing.T, step int, fill func(*Writer)) []byte {
	t.Helper()
	dir := t.TempDir()
	w, err := create(dir, step, fixedClock)
	if err != nil {
		t.Fatal(err)
	}
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readRecords unframes a file, checking both sums of every record.
func readRecords(t *testing.T, data []byte) (records [][]byte) {
	t.Helper()
	for len(data) > 0 {
		n := binary.LittleEndian.Uint64(data)
		if binary.LittleEndian.Uint32(data[8:]) != maskedCRC(data[:8]) {
			t.Fatal("wrong sum of a length")
		}
		body := data[12 : 12+n]
		if binary.LittleEndian.Uint32(data[12+n:]) != maskedCRC(body) {
			t.Fatal("wrong sum of a record")
		}
		records = append(records, body)
		data = data[16+n:]
	}
	return records
}

type field struct {
	number uint64
	bytes  []byte
}

// fields decodes a message whose fields appear once.
func fields(t *testing.T, b []byte) map[uint64]field {
	t.Helper()
	out := map[uint64]field{}
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		b = b[n:]
		var f field
		switch key & 7 {
		case wireVarint:
			f.number, n = binary.Uvarint(b)
		case wireFixed64:
			f.number, n = binary.LittleEndian.Uint64(b), 8
		case wireFixed32:
			f.number, n = uint64(binary.LittleEndian.Uint32(b)), 4
		case wireBytes:
			size, m := binary.Uvarint(b)
			f.bytes, n = b[m:m+int(size)], m+int(size)
		default:
			t.Fatalf("wire type %d", key&7)
		}
		out[key>>3] = f
		b = b[n:]
	}
	return out
}
