package jobs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"
)

// idAlphabet is Crockford's base 32 in lower case, whose order is that of its values.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// idLength is the number of characters of an ID: 48 bits of time, 80 of chance.
const idLength = 26

// newID makes the ID of a job created at a time: IDs sort by it to the millisecond,
// and their other 80 bits come from the system's source of randomness.
func newID(created time.Time) string {
	var b [16]byte
	ms := uint64(created.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	_, _ = rand.Read(b[6:]) // never fails
	// 128 bits are 26 characters of 5 bits, the first of which has 3.
	var id [idLength]byte
	var acc uint
	bits, n := 2, 0
	for _, v := range b {
		acc = acc<<8 | uint(v)
		bits += 8
		for bits >= 5 {
			bits -= 5
			id[n] = idAlphabet[acc>>bits&31]
			n++
		}
	}
	return string(id[:])
}

var errNoID = errors.New("not the ID of a job")

// idTime reads the time of an ID, and refuses what is none.
func idTime(id string) (time.Time, error) {
	if len(id) != idLength {
		return time.Time{}, errNoID
	}
	var ms uint64
	for i := range len(id) {
		v := indexOf(id[i])
		if v < 0 || i == 0 && v > 7 {
			return time.Time{}, errNoID
		}
		if i < 10 {
			ms = ms<<5 | uint64(v)
		}
	}
	return time.UnixMilli(int64(ms)), nil
}

func indexOf(c byte) int {
	for i := range len(idAlphabet) {
		if idAlphabet[i] == c {
			return i
		}
	}
	return -1
}

// newNonce makes a name that nobody else has.
func newNonce() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
