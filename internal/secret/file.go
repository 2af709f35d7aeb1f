package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// ErrKeyFile is a key file that cannot be used.
var ErrKeyFile = &lateen.Error{Code: lateen.Conflict, Reason: "key_file_unusable", Message: "the key file cannot be used"}

// FileKeeper is a [Keeper] with its keys in a file.
//
// The file has a line for each key, "<id> <base64 of 32 bytes>". An id is eight
// random hex digits, and a line that starts with '#' is a comment. The last key
// seals, every key opens; [AddKey] adds a key. A sealed value is
//
//	version 1 | key id, 4 bytes | nonce, 12 bytes | AES-256-GCM ciphertext and tag
//
// and authenticates its version, key id and context.
type FileKeeper struct {
	keys   map[keyID]cipher.AEAD
	newest keyID
}

const (
	version     = 1
	keySize     = 32
	headSize    = 1 + len(keyID{})
	maxFileSize = 1 << 20
)

type keyID [4]byte

const fileHead = `# Keys that seal the secrets of this data directory. Whoever has this file can
# read them; without it they are lost. Back it up, but not beside the data.
`

// OpenFile reads the key file at path. If the file is missing, OpenFile creates it
// with a new key, durably and atomically. Errors: [ErrKeyFile] if other users may
// read the file or if it is malformed.
func OpenFile(path string) (*FileKeeper, error) {
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Of several concurrent processes, one creates the file and all read it.
		err = createFile(path, []byte(fileHead+newKeyLine()))
		if err == nil || errors.Is(err, fs.ErrExist) {
			text, err = readFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	return parse(path, text)
}

// AddKey adds a new key to the file at path. Keepers opened afterwards seal with it.
func AddKey(path string) error {
	text, err := readFile(path)
	if err == nil {
		_, err = parse(path, text)
	}
	if err != nil {
		return fmt.Errorf("add a key: %w", err)
	}
	return atomicfile.Write(path, append(text, newKeyLine()...), 0o600)
}

// Seal implements [Keeper].
func (k *FileKeeper) Seal(plaintext, context []byte) ([]byte, error) {
	head := append([]byte{version}, k.newest[:]...)
	return k.keys[k.newest].Seal(head, nil, plaintext, slices.Concat(head, context)), nil
}

// Open implements [Keeper].
func (k *FileKeeper) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < headSize || sealed[0] != version {
		return nil, ErrSealed
	}
	head, body := sealed[:headSize], sealed[headSize:]
	key, ok := k.keys[keyID(head[1:])]
	if !ok {
		return nil, ErrKeyMissing.With("a value is sealed with key %x, which is not in the key file", head[1:])
	}
	plaintext, err := key.Open(nil, nil, body, slices.Concat(head, context))
	if err != nil {
		return nil, ErrSealed.Because(err)
	}
	return plaintext, nil
}

// parse reads the lines of a key file. Its errors contain line numbers, never keys.
func parse(path string, text []byte) (*FileKeeper, error) {
	k := &FileKeeper{keys: map[keyID]cipher.AEAD{}}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		id, key, ok := parseKey(line)
		if _, twice := k.keys[id]; !ok || twice {
			return nil, ErrKeyFile.With("%s: line %d is not a key or repeats an id", path, number).
				WithHint("restore the file from a backup")
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if k.keys[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
		k.newest = id
	}
	if len(k.keys) == 0 {
		return nil, ErrKeyFile.With("%s has no key", path).WithHint("restore the file from a backup")
	}
	return k, nil
}

func parseKey(line string) (id keyID, key []byte, ok bool) {
	idText, keyText, _ := strings.Cut(line, " ")
	idBytes, err := hex.DecodeString(idText)
	if err != nil || len(idBytes) != len(id) {
		return id, nil, false
	}
	key, err = base64.StdEncoding.DecodeString(keyText)
	return keyID(idBytes), key, err == nil && len(key) == keySize
}

func newKeyLine() string {
	var id keyID
	var key [keySize]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(key[:])
	return hex.EncodeToString(id[:]) + " " + base64.StdEncoding.EncodeToString(key[:]) + "\n"
}

// readFile returns the text of a key file, which only its owner may read.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 {
		return nil, ErrKeyFile.With("%s has mode %v: only its owner may have access", path, mode).
			WithHint("restrict it with `chmod 600 %s`, and replace the sealed values if other users could read it", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize))
	if err == nil && !bytes.HasSuffix(text, []byte("\n")) {
		return nil, ErrKeyFile.With("%s ends within a line", path).WithHint("restore the file from a backup")
	}
	return text, err
}

// createFile creates a complete, durable file at path. If the file exists, the error
// is [fs.ErrExist].
func createFile(path string, text []byte) error {
	f, err := atomicfile.Create(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Seal(0o600); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}
