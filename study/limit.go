package study

import (
	"sync"
	"time"
)

// maxBuckets bounds the memory of a limiter; subjects are known ones, so it takes
// that many at once to reach it.
const maxBuckets = 10_000

// limiter is a token bucket for each key: so many requests a second, and so many at
// once after a rest.
type limiter struct {
	perSecond, burst float64
	now              func() time.Time

	mu      sync.Mutex
	buckets map[int64]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(perSecond, burst float64) *limiter {
	return &limiter{perSecond: perSecond, burst: burst, now: time.Now, buckets: map[int64]bucket{}}
}

// allow takes one request from the bucket of key.
func (l *limiter) allow(key int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, ok := l.buckets[key]
	if !ok {
		if len(l.buckets) >= maxBuckets {
			l.forget(now)
		}
		b = bucket{l.burst, now}
	}
	b.left = min(l.burst, b.left+now.Sub(b.at).Seconds()*l.perSecond)
	b.at = now
	ok = b.left >= 1
	if ok {
		b.left--
	}
	l.buckets[key] = b
	return ok
}

// forget drops buckets that are full again: a new one is the same.
func (l *limiter) forget(now time.Time) {
	for key, b := range l.buckets {
		if b.left+now.Sub(b.at).Seconds()*l.perSecond >= l.burst {
			delete(l.buckets, key)
		}
	}
}
