package eval

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/metric/nets"
)

// featureStore keeps what a network says of images: a file for each image, of the
// number of features, the features, the logits and a checksum, all of 4 bytes.
// That is 12 kB of an Inception-v3, read much faster than it is computed.
type featureStore struct{ dir string }

// maxFeatureFile is more than any network of package nets has.
const maxFeatureFile = 1 << 20

// path spreads the files over folders, so that none has very many.
func (s featureStore) path(key string) string { return filepath.Join(s.dir, key[:2], key+".f32") }

// read gives what is kept; a file that is not as it was written counts as none.
func (s featureStore) read(key string) (out nets.Outputs, ok bool) {
	info, err := os.Stat(s.path(key))
	if err != nil || info.Size() > maxFeatureFile {
		return out, false
	}
	data, err := os.ReadFile(s.path(key))
	if err != nil || len(data) < 16 || len(data)%4 != 0 {
		return out, false
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return out, false
	}
	values := make([]float32, len(body)/4-1)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(body[4*i+4:]))
	}
	n := int(binary.LittleEndian.Uint32(body))
	if n < 1 || n >= len(values) {
		return out, false
	}
	return nets.Outputs{Features: values[:n], Logits: values[n:]}, true
}

func (s featureStore) write(key string, out nets.Outputs) error {
	data := binary.LittleEndian.AppendUint32(nil, uint32(len(out.Features)))
	for _, values := range [][]float32{out.Features, out.Logits} {
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	data = binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
	path := s.path(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return runfiles.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
