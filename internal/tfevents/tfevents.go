// Package tfevents writes event files that TensorBoard reads: scalars and pictures over the steps of a run.
//
// A file is a sequence of records (length, masked CRC-32C of the length, data, masked CRC-32C of the data: the
// TFRecord format), and each record is an Event message in protocol-buffer wire format. The four messages needed
// here (Event, Summary, Summary.Value, Summary.Image of tensorflow/core/util/event.proto and
// framework/summary.proto) are encoded by hand.
package tfevents

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Writer appends events to one file. It is used by one goroutine at a time. The first error of writing is kept and
// returned by every later call, so a caller may look at Flush and Close alone.
type Writer struct {
	file *os.File
	buf  *bufio.Writer
	err  error
	now  func() time.Time
}

// Create starts a new event file in dir, named events.out.tfevents.TIME.HOST as TensorBoard expects. step is the step
// that the run continues from: TensorBoard drops what earlier files of the folder say about that step and later ones,
// which is what a run that was killed and resumed needs.
func Create(dir string, step int) (*Writer, error) {
	return create(dir, step, time.Now)
}

func create(dir string, step int, now func() time.Time) (*Writer, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	file, err := createNew(dir, filepath.Base(host), now().Unix())
	if err != nil {
		return nil, fmt.Errorf("create event file: %w", err)
	}
	w := &Writer{file: file, buf: bufio.NewWriter(file), now: now}
	w.event(0, fieldFileVersion, []byte("brain.Event:2"))
	w.event(step, fieldSessionLog, appendVarintField(nil, sessionStatus, sessionStart))
	if err := w.Flush(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return w, nil
}

// createNew makes a file that did not exist; runs started within one second differ by a number after the host.
func createNew(dir, host string, unix int64) (*os.File, error) {
	for try := 0; ; try++ {
		name := fmt.Sprintf("events.out.tfevents.%010d.%s", unix, host)
		if try > 0 {
			name += fmt.Sprintf(".%d", try)
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) && try < 1000 {
			continue
		}
		return f, err
	}
}

// Scalar records one number of a curve. By custom a tag is GROUP/NAME, such as loss/train.
func (w *Writer) Scalar(tag string, step int, value float64) error {
	v := appendBytesField(nil, valueTag, []byte(tag))
	v = binary.AppendUvarint(v, valueSimple<<3|wireFixed32)
	v = binary.LittleEndian.AppendUint32(v, math.Float32bits(float32(value)))
	return w.event(step, fieldSummary, appendBytesField(nil, summaryValue, v))
}

// Image records a picture of width x height RGB pixels that is already encoded as PNG.
func (w *Writer) Image(tag string, step, width, height int, png []byte) error {
	img := appendVarintField(nil, imageHeight, uint64(height))
	img = appendVarintField(img, imageWidth, uint64(width))
	img = appendVarintField(img, imageColorspace, colorspaceRGB)
	img = appendBytesField(img, imageEncoded, png)
	v := appendBytesField(nil, valueTag, []byte(tag))
	v = appendBytesField(v, valueImage, img)
	return w.event(step, fieldSummary, appendBytesField(nil, summaryValue, v))
}

// Flush hands what was recorded to the operating system.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	if w.err != nil {
		return fmt.Errorf("write event file %s: %w", w.file.Name(), w.err)
	}
	return nil
}

// Close flushes and closes the file.
func (w *Writer) Close() error { return errors.Join(w.Flush(), w.file.Close()) }

// event writes an Event message whose payload is the given length-delimited field.
func (w *Writer) event(step int, field uint64, payload []byte) error {
	seconds := float64(w.now().UnixMicro()) / 1e6
	e := binary.AppendUvarint(nil, fieldWallTime<<3|wireFixed64)
	e = binary.LittleEndian.AppendUint64(e, math.Float64bits(seconds))
	if step != 0 {
		e = appendVarintField(e, fieldStep, uint64(step))
	}
	return w.record(appendBytesField(e, field, payload))
}

// record frames data as a TFRecord.
func (w *Writer) record(data []byte) error {
	if w.err != nil {
		return w.err
	}
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	head = binary.LittleEndian.AppendUint32(head, maskedCRC(head))
	for _, part := range [][]byte{head, data, binary.LittleEndian.AppendUint32(nil, maskedCRC(data))} {
		if _, err := w.buf.Write(part); err != nil {
			w.err = err
			return err
		}
	}
	return nil
}

// maskedCRC is the CRC-32C rotated right by 15 bits plus a constant, so that a CRC stored in data that is itself
// checked does not weaken the check.
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (crc>>15 | crc<<17) + 0xa282ead8
}
