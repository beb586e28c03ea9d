package model

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// RecordKey is the metadata entry that holds [Model.Record] as JSON.
const RecordKey = "sr3.record"

const (
	// maxRecord bounds the JSON of a record, in bytes.
	maxRecord = 8 << 20
	// maxRecordCommas bounds the commas in it, and so what its lists hold together: a
	// run that is nothing takes two bytes in the file and hundreds in memory.
	maxRecordCommas = 200_000
)

// CheckRecordSize reports JSON, of a record or of training runs, that would take too
// much memory to read.
func CheckRecordSize(data []byte) error {
	if len(data) > maxRecord {
		return fmt.Errorf("model record: %d bytes, the limit is %d", len(data), maxRecord)
	}
	if n := bytes.Count(data, []byte(",")); n > maxRecordCommas {
		return fmt.Errorf("model record: lists of %d elements, the limit is %d", n, maxRecordCommas)
	}
	return nil
}

// ParseRecord reads the JSON of a record. Fields that this version does not know
// are left out; a table that is no table is an error.
func ParseRecord(data []byte) (*Card, error) {
	if err := CheckRecordSize(data); err != nil {
		return nil, err
	}
	c := &Card{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("model record: %w", err)
	}
	if _, err := c.Markdown(); err != nil {
		return nil, fmt.Errorf("model record: %w", err)
	}
	return c, nil
}

// encode is the inverse of ParseRecord.
func (c *Card) encode() (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return "", fmt.Errorf("model record: %w", err)
	}
	if err := CheckRecordSize(b.Bytes()); err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(b.Bytes())), nil
}

// setRecord takes the record from the metadata of a file, if it has one.
func (m *Model) setRecord(meta map[string]string) error {
	text, ok := meta[RecordKey]
	if !ok {
		return nil
	}
	var err error
	m.Record, err = ParseRecord([]byte(text))
	return err
}

// addRecord puts the record into the metadata of a file, if there is one.
func (m *Model) addRecord(meta map[string]string) error {
	if m.Record == nil {
		return nil
	}
	text, err := m.Record.encode()
	meta[RecordKey] = text
	return err
}

// SetRecord makes r the record, and the card what it says. Name, licence and scale
// are the configuration's where it has them.
func (m *Model) SetRecord(r Card) error {
	r.Name = cmp.Or(m.Config.Name, r.Name)
	r.Licence = cmp.Or(m.Config.Licence, r.Licence)
	r.Scale = cmp.Or(m.Config.Scale, r.Scale)
	text, err := r.Markdown()
	if err != nil {
		return err
	}
	r.Files, r.Pictures = nil, nil
	m.Record, m.Card = &r, text
	return nil
}

// ErrNoRecord is wrapped where a card was written by hand, so that nothing can be
// added to its fields.
var ErrNoRecord = errors.New("the card was written by hand")

// CheckRecord reports, with [ErrNoRecord], a card that is not what the record says.
func (m *Model) CheckRecord() error {
	if m.Record == nil {
		return fmt.Errorf("model %s has no record of its training: %w", m.Config.Name, ErrNoRecord)
	}
	text, err := m.Record.Markdown()
	if err != nil {
		return err
	}
	if text != m.Card {
		return fmt.Errorf("the card of model %s is not what its record says: %w", m.Config.Name, ErrNoRecord)
	}
	return nil
}

// WeightsDigest is the SHA-256 of the weights alone, in hexadecimal digits: of
// name, a zero byte and float32 values (little endian) of every parameter, in the
// order of the names, a predictor's among them as in the file. Unlike [Model.Digest] it does not depend on the card, which
// tells of times and machines, so that a repeated training can be compared.
func (m *Model) WeightsDigest() string {
	h := sha256.New()
	all, err := m.allWeights()
	if err != nil {
		all = m.Weights // such a model cannot be in a file
	}
	var buf []byte
	for _, name := range slices.Sorted(maps.Keys(all)) {
		buf = append(append(buf[:0], name...), 0)
		for _, v := range all[name] {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil))
}
