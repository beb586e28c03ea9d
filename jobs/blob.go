package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Images are stored in pieces, one message each, under subjects that begin with the
// job's ID and the attempt: sr3.blob.ID.in.input.0, sr3.blob.ID.a1.image.0 and so on.
// So everything that a job, or an attempt that died half-way, left is removed by one
// call, which the object store of the NATS clients cannot do.

// blobPiece is the size of a piece; JetStream takes 1 MiB with headers by default.
const blobPiece = 768 << 10

// blobTime bounds the writing or reading of one image.
const blobTime = 10 * time.Minute

// inputPlace is where the input of a job is.
func inputPlace(id string) string { return id + ".in.input" }

// resultPlace is where a result of an attempt is.
func resultPlace(id string, attempt int, name string) string {
	return attemptPlace(id, attempt) + "." + name
}

func attemptPlace(id string, attempt int) string { return id + ".a" + strconv.Itoa(attempt) }

// validName tells whether a result may have a name: it becomes part of a subject.
func validName(name string) bool {
	return name != "" && len(name) <= 64 && strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	}) < 0
}

// putBlob stores data; when it returns nil all of it is stored.
func (q *Queue) putBlob(ctx context.Context, place string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, blobTime)
	defer cancel()
	size := int(min(blobPiece, max(1024, q.nc.MaxPayload()-8192)))
	for i := 0; i == 0 || i*size < len(data); i++ {
		piece := data[i*size : min(len(data), (i+1)*size)]
		err := q.insist(ctx, func(ctx context.Context) error {
			_, err := q.js.Publish(ctx, subjectBlob+place+"."+strconv.Itoa(i), piece)
			return err
		})
		if err != nil {
			if full(err) {
				return fmt.Errorf("%w: its store has no room", ErrFull)
			}
			return err
		}
	}
	return nil
}

// getBlob reads data of known length and digest.
func (q *Queue) getBlob(ctx context.Context, place string, o Object) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, blobTime)
	defer cancel()
	var b bytes.Buffer
	for i := 0; i == 0 || int64(b.Len()) < o.Bytes; i++ {
		m, err := q.piece(ctx, subjectBlob+place+"."+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		if len(m.Data) == 0 && o.Bytes > 0 {
			return nil, errDamaged
		}
		b.Write(m.Data)
	}
	if digestOf(b.Bytes()) != o.SHA256 {
		return nil, errDamaged
	}
	return b.Bytes(), nil
}

var errDamaged = errors.New("the stored image is damaged")

// piece reads one message. A server of a cluster may not have it yet.
func (q *Queue) piece(ctx context.Context, subject string) (m *jetstream.RawStreamMsg, err error) {
	for try := 0; ; try++ {
		err = q.insist(ctx, func(ctx context.Context) error {
			m, err = q.blobs.GetLastMsgForSubject(ctx, subject)
			return err
		})
		if !errors.Is(err, jetstream.ErrMsgNotFound) || try == 3 || q.server != nil {
			return m, err
		}
		if !sleep(ctx, 100*time.Millisecond<<try) {
			return nil, ctx.Err()
		}
	}
}

// purgeBlobs removes everything below a place.
func (q *Queue) purgeBlobs(ctx context.Context, place string) {
	err := q.call(ctx, func(ctx context.Context) error {
		return q.blobs.Purge(ctx, jetstream.WithPurgeSubject(subjectBlob+place+".>"))
	})
	if err != nil && ctx.Err() == nil {
		q.log.Warn("images that are no longer needed stay for now", "place", place, "error", err)
	}
}

// subjectsOf lists the subjects of a stream that match a filter, without prefix.
func (q *Queue) subjectsOf(ctx context.Context, s jetstream.Stream, prefix, filter string) ([]string, error) {
	var info *jetstream.StreamInfo
	var before time.Time
	err := q.call(ctx, func(ctx context.Context) (err error) {
		before = q.options.clock()
		info, err = s.Info(ctx, jetstream.WithSubjectFilter(filter))
		return err
	})
	if err != nil {
		return nil, err
	}
	q.setClock(before, info.TimeStamp)
	list := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		list = append(list, strings.TrimPrefix(subject, prefix))
	}
	return list, nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
