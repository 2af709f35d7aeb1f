// Package codecachetest packs code caches for tests.
package codecachetest

import (
	"encoding/binary"
	"encoding/json"
	"testing"
)

// Packed is a code cache as an agent sends it. files are names and contents in turn.
func Packed(t testing.TB, files ...string) []byte {
	t.Helper()
	index := [][2]any{}
	var contents []byte
	for n := 0; n < len(files); n += 2 {
		index = append(index, [2]any{files[n], len(files[n+1])})
		contents = append(contents, files[n+1]...)
	}
	text, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...), contents...)
}
