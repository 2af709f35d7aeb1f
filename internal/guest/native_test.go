package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
)

// The objects are committed, since building Lateen takes no C compiler. Each contains
// the hash of its source: `make native` rebuilds them.
func TestObjectsAreBuiltFromTheirSource(t *testing.T) {
	for _, name := range []string{"native/fork", "native/zygote"} {
		source, err := os.ReadFile(name + ".c")
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(source)
		for _, arch := range []string{"_amd64", "_arm64"} {
			object, err := os.ReadFile(name + arch)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(object, []byte(hex.EncodeToString(sum[:]))) {
				t.Errorf("%s was built from another source: run `make native`", name+arch)
			}
		}
	}
}
