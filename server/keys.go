package server

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/sr3-go/sr3/internal/runfiles"
)

const (
	// keyPrefix begins every key, so that people and scanners of secrets know one.
	keyPrefix = "sr3_"
	// keyBytes is the randomness of a key.
	keyBytes = 32
	// maxKeysFile bounds the file of keys.
	maxKeysFile = 1 << 20
	// keysFileVersion is the format's.
	keysFileVersion = 1
	// recheckKeys is how often the file is looked at for changes.
	recheckKeys = time.Second
)

// keyName is what keys may be called.
var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Key is who may use the server: a name, and the SHA-256 of a secret that only its
// holder has.
type Key struct {
	Name    string    `json:"name"`
	SHA256  string    `json:"sha256"` // of the key's text, 64 hexadecimal digits
	Created time.Time `json:"created"`
}

// Owner is what jobs made with the key are marked with: its name and the first
// digits of its hash, so that a later key of the same name does not inherit them.
func (k Key) Owner() string { return k.Name + "-" + k.SHA256[:8] }

// keysFile is the file's content.
type keysFile struct {
	Version int   `json:"version"`
	Keys    []Key `json:"keys"`
}

// Keys are those of a file. The file is read again when it changes. It may be used
// by several goroutines.
type Keys struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   fileStamp
	trouble string // with reading the file, told once
	keys    []hashedKey
}

type hashedKey struct {
	owner string
	hash  [sha256.Size]byte
}

// fileStamp tells whether a file changed.
type fileStamp struct {
	size     int64
	modified time.Time
}

// OpenKeys reads a file of keys. It is an error if it has none.
func OpenKeys(path string, log *slog.Logger) (*Keys, error) {
	k := &Keys{path: path, log: log}
	if err := k.read(); err != nil {
		return nil, err
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("keys %s: there is no key in it; make one with: sr3 serve keys new NAME --keys %s; or remove the file, then nobody needs a key on a loopback address", path, path)
	}
	return k, nil
}

// Reload reads the file again. If it cannot be read, the keys stay as they were.
func (k *Keys) Reload() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reload()
}

func (k *Keys) reload() {
	if err := k.read(); err != nil {
		if k.trouble != err.Error() {
			k.trouble = err.Error()
			k.log.Error("the file of keys cannot be read; the keys read before stay valid", "error", err)
		}
		return
	}
	k.trouble = ""
	k.log.Info("read keys", "file", k.path, "keys", len(k.keys))
}

// read replaces the keys by the file's.
func (k *Keys) read() error {
	list, stamp, err := readKeys(k.path)
	if err != nil {
		return err
	}
	keys := make([]hashedKey, len(list))
	for i, key := range list {
		keys[i].owner = key.Owner()
		hex.Decode(keys[i].hash[:], []byte(key.SHA256))
	}
	k.keys, k.stamp, k.checked = keys, stamp, time.Now()
	return nil
}

// Lookup finds whose key a text is. It takes the same time for every text: all keys
// are compared.
func (k *Keys) Lookup(text string) (owner string, ok bool) {
	hash := sha256.Sum256([]byte(text))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh()
	for _, key := range k.keys {
		if subtle.ConstantTimeCompare(hash[:], key.hash[:]) == 1 {
			owner, ok = key.owner, true
		}
	}
	return owner, ok
}

// refresh reads a file that has changed.
func (k *Keys) refresh() {
	if time.Since(k.checked) < recheckKeys {
		return
	}
	k.checked = time.Now()
	if st, err := os.Stat(k.path); err == nil && (fileStamp{st.Size(), st.ModTime()}) == k.stamp {
		return
	}
	k.reload()
}

// readKeys reads and checks a file.
func readKeys(path string) ([]Key, fileStamp, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("keys: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("keys: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeysFile+1))
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("keys: %w", err)
	}
	list, err := parseKeys(data)
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("keys %s: %w", path, err)
	}
	return list, fileStamp{st.Size(), st.ModTime()}, nil
}

// parseKeys reads the file's content.
func parseKeys(data []byte) ([]Key, error) {
	if len(data) > maxKeysFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxKeysFile)
	}
	if len(data) == 0 {
		return nil, nil
	}
	var file keysFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("not a file of keys: %w", err)
	}
	if file.Version != keysFileVersion {
		return nil, fmt.Errorf("version %d of the format is not known here, only %d", file.Version, keysFileVersion)
	}
	for i, key := range file.Keys {
		if hash, err := hex.DecodeString(key.SHA256); err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("key %d has no SHA-256", i+1)
		}
		if !keyName.MatchString(key.Name) {
			return nil, fmt.Errorf("key %d: %w", i+1, errKeyName)
		}
	}
	return file.Keys, nil
}

var errKeyName = errors.New("a name is 1 to 63 letters, digits, dots, dashes and underscores, and begins with a letter or digit")

// ListKeys returns the keys of a file; none if there is no such file.
func ListKeys(path string) ([]Key, error) {
	list, _, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// NewKey makes a key, adds its hash to a file, which is made if need be, and returns
// its text. It is written nowhere and cannot be found out again.
func NewKey(path, name string) (text string, key Key, err error) {
	if !keyName.MatchString(name) {
		return "", Key{}, fmt.Errorf("key %q: %w", name, errKeyName)
	}
	list, err := ListKeys(path)
	if err != nil {
		return "", Key{}, err
	}
	if slices.ContainsFunc(list, func(k Key) bool { return k.Name == name }) {
		return "", Key{}, fmt.Errorf("there is a key named %s already; revoke it first, or choose another name", name)
	}
	secret := make([]byte, keyBytes)
	rand.Read(secret) // never fails
	text = keyPrefix + base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(text))
	key = Key{Name: name, SHA256: hex.EncodeToString(hash[:]), Created: time.Now().UTC().Truncate(time.Second)}
	return text, key, writeKeys(path, append(list, key))
}

// RevokeKey takes the key of a name out of a file. A running server learns of it
// within seconds.
func RevokeKey(path, name string) error {
	list, err := ListKeys(path)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(list), func(k Key) bool { return k.Name == name })
	if len(left) == len(list) {
		return fmt.Errorf("keys %s: there is no key named %q", path, name)
	}
	return writeKeys(path, left)
}

// writeKeys replaces the file; only its owner may read it.
func writeKeys(path string, list []Key) error {
	data, err := json.MarshalIndent(keysFile{keysFileVersion, list}, "", "  ")
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	// An existing file keeps its permissions when it is replaced, and a new one has
	// to have the right ones from the start.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return runfiles.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}
