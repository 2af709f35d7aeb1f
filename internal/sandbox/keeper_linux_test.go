package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
)

func TestKeepersAreBuiltFromTheSource(t *testing.T) {
	source, err := os.ReadFile("native/keeper.c")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(source)
	for _, arch := range []string{"amd64", "arm64"} {
		object, err := os.ReadFile("native/keeper_" + arch)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(object, []byte("source sha256:"+hex.EncodeToString(sum[:]))) {
			t.Errorf("native/keeper_%s is of another source: `make native`", arch)
		}
	}
}
