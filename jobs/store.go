package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names in JetStream.
const (
	bucketSettings = "sr3-settings"
	bucketRecords  = "sr3-jobs" // of ID: a record
	bucketKeys     = "sr3-keys" // of idempotency key: a claim
	streamWork     = "SR3_WORK" // of ID: a message while the job is not finished
	streamEnds     = "SR3_DONE" // of ID: the one event of its end
	streamBlobs    = "SR3_BLOBS"
	consumerName   = "workers"

	subjectWork  = "sr3.work."
	subjectEnd   = "sr3.done."
	subjectBlob  = "sr3.blob."
	subjectStep  = "sr3.step."  // not stored
	subjectWatch = "sr3.watch." // not stored

	// settingsKey is the one key of bucketSettings.
	settingsKey = "queue"
)

// Defaults of settings.
const (
	defaultMaxBytes  = 8 << 30
	defaultLease     = 15 * time.Second
	defaultAttempts  = 3
	defaultLosses    = 10
	defaultBackoff   = 2 * time.Second
	defaultKeep      = 24 * time.Hour
	defaultMaxQueued = 512

	longestBackoff = time.Minute
)

// settings are those of a queue, which all processes share.
type settings struct {
	Lease     time.Duration `json:"lease"`
	Attempts  int           `json:"attempts"`
	Losses    int           `json:"losses"`
	Backoff   time.Duration `json:"backoff"`
	Keep      time.Duration `json:"keep"`
	MaxQueued int           `json:"max_queued"`
	MaxBytes  int64         `json:"max_bytes"`
	Replicas  int           `json:"replicas"`
}

// merge fills in, for each setting, what the options say, else what was stored, else
// the default.
func (s settings) merge(o *Options) settings {
	return settings{
		Lease: cmp.Or(o.Lease, s.Lease, defaultLease), Attempts: cmp.Or(o.Attempts, s.Attempts, defaultAttempts),
		Losses: cmp.Or(o.Losses, s.Losses, defaultLosses), Backoff: cmp.Or(o.Backoff, s.Backoff, defaultBackoff),
		Keep: cmp.Or(o.Keep, s.Keep, defaultKeep), MaxQueued: cmp.Or(o.MaxQueued, s.MaxQueued, defaultMaxQueued),
		MaxBytes: cmp.Or(o.MaxBytes, s.MaxBytes, defaultMaxBytes), Replicas: cmp.Or(o.Replicas, s.Replicas, 1),
	}
}

// backoff is the pause after so many failures.
func (s *settings) backoff(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	return min(s.Backoff<<min(failures-1, 10), longestBackoff)
}

// age is when JetStream itself removes things: long after the queue would have. An
// input may wait for Keep before its job's StartAfter, for Keep after it, and stay for
// Keep after the end.
func (s *settings) age() time.Duration { return 4 * s.Keep }

// hardBytes is the size that the store of images cannot exceed.
func hardBytes(maxBytes int64) int64 { return maxBytes + maxBytes/4 + 64<<20 }

// openStore finds or makes everything that the queue needs in JetStream.
func (q *Queue) openStore(ctx context.Context) error {
	if _, err := q.js.AccountInfo(ctx); err != nil {
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return fmt.Errorf("open the queue: the NATS server %s has JetStream switched off; start it with \"nats-server -js\": %w", hideSecrets(q.options.URL), err)
		}
		return fmt.Errorf("open the queue: ask the NATS server %s for JetStream: %w", hideSecrets(q.options.URL), err)
	}
	s, err := q.openSettings(ctx)
	if err != nil {
		return fmt.Errorf("open the queue: read its settings: %w", storeError(err))
	}
	q.settings.Store(&s)
	if err := q.openStreams(ctx, &s); err != nil {
		return fmt.Errorf("open the queue: make its streams: %w", storeError(err))
	}
	return nil
}

// openSettings reads the settings and stores what the options change.
func (q *Queue) openSettings(ctx context.Context) (settings, error) {
	var err error
	q.shared, err = q.js.KeyValue(ctx, bucketSettings)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		q.shared, err = q.js.CreateOrUpdateKeyValue(ctx, settingsConfig(max(1, q.options.Replicas)))
	}
	if err != nil {
		return settings{}, err
	}
	for {
		var stored settings
		var revision uint64
		e, err := q.shared.Get(ctx, settingsKey)
		if err == nil {
			revision = e.Revision()
			err = json.Unmarshal(e.Value(), &stored)
		}
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return settings{}, err
		}
		s := stored.merge(&q.options)
		if s == stored {
			return s, nil
		}
		data, err := json.Marshal(s)
		if err != nil {
			return settings{}, err
		}
		if revision == 0 {
			_, err = q.shared.Create(ctx, settingsKey, data)
		} else {
			_, err = q.shared.Update(ctx, settingsKey, data, revision)
		}
		if !wrongRevision(err) {
			return s, err
		}
	}
}

func settingsConfig(replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{Bucket: bucketSettings, Description: "sr3: how the queue works", History: 1, Storage: jetstream.FileStorage, Replicas: replicas}
}

// openStreams makes the streams and brings old ones to the settings.
func (q *Queue) openStreams(ctx context.Context, s *settings) error {
	var err error
	if q.shared, err = q.js.CreateOrUpdateKeyValue(ctx, settingsConfig(s.Replicas)); err != nil {
		return err
	}
	q.records, err = q.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucketRecords, Description: "sr3: what jobs are and have become",
		History: 1, TTL: s.age(), Storage: jetstream.FileStorage, Replicas: s.Replicas})
	if err != nil {
		return err
	}
	q.keys, err = q.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucketKeys, Description: "sr3: idempotency keys",
		History: 1, TTL: s.age(), Storage: jetstream.FileStorage, Replicas: s.Replicas})
	if err != nil {
		return err
	}
	q.work, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: streamWork, Description: "sr3: jobs that are not finished",
		Subjects: []string{subjectWork + "*"}, Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, Replicas: s.Replicas})
	if err != nil {
		return err
	}
	q.consumer, err = q.work.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: s.Lease, MaxDeliver: -1, MaxAckPending: 1 << 20, MaxWaiting: 8192})
	if err != nil {
		return err
	}
	q.ends, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: streamEnds, Description: "sr3: ends of jobs, one event each",
		Subjects: []string{subjectEnd + "*"}, MaxAge: s.age(), Replicas: s.Replicas})
	if err != nil {
		return err
	}
	return q.openBlobs(ctx, s)
}

// openBlobs makes the stream of images. Where the size was not asked for and the
// server has not so much to give, its own limit is the limit.
func (q *Queue) openBlobs(ctx context.Context, s *settings) error {
	cfg := jetstream.StreamConfig{Name: streamBlobs, Description: "sr3: inputs and results of jobs", Subjects: []string{subjectBlob + ">"},
		MaxAge: s.age(), MaxBytes: hardBytes(s.MaxBytes), Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, AllowDirect: true, Replicas: s.Replicas}
	var err error
	q.blobs, err = q.js.CreateOrUpdateStream(ctx, cfg)
	if full(err) && q.options.MaxBytes == 0 {
		cfg.MaxBytes = -1
		q.blobs, err = q.js.CreateOrUpdateStream(ctx, cfg)
	}
	return err
}

// wrongRevision tells whether somebody else was faster.
func wrongRevision(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// full tells whether the store has no room.
func full(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, s := range []string{"maximum bytes", "insufficient", "resource limits", "exceeds account limit", "no space"} {
		if strings.Contains(api.Description, s) {
			return true
		}
	}
	return false
}

// storeError adds the way out.
func storeError(err error) error {
	if full(err) {
		return fmt.Errorf("%w; give the queue less (MaxBytes) or the server more (max_file_store)", err)
	}
	return err
}
