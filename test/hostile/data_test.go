//go:build linux && e2e

package hostile_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen/internal/datacache"
)

// maxData bounds the values of a deployment in these tests.
const maxData = 16 << 20

// dataCache checks that a function reads and changes no value of another deployment in
// the data cache, and that the space and the memory that it takes there are bounded.
func (p *platform) dataCache(t *testing.T) {
	sum := sha256.Sum256([]byte("use cache secret"))
	owner, key := datacache.Owner{Project: "prj_neighbour", Deployment: "dpl_neighbour"}, hex.EncodeToString(sum[:])
	if stored, err := p.store.Put(t.Context(), owner, key, datacache.Item{Body: []byte(secret), Tags: []string{"secret"}}); !stored || err != nil {
		t.Fatal(stored, err)
	}
	f := p.hostile(t, "data.cjs")
	if heard := f.get(t, "/read"); strings.Contains(heard, secret) || !strings.Contains(heard, `"miss"`) {
		t.Errorf("it reads a value of another deployment: %q", heard)
	}
	var counts map[string]int
	if text := f.get(t, "/flood"); json.Unmarshal([]byte(text), &counts) != nil || counts["done"] == 0 || counts["refused"] < 100 {
		t.Errorf("a flood of values is answered by %s", text)
	}
	if used := p.store.Used(); used > maxData+8<<20 {
		t.Errorf("it takes %d MiB of disk", used>>20)
	}
	f.end()
	before := p.heap()
	f = p.hostile(t, "data.cjs")
	f.get(t, "/unread")
	if grown := p.heap() - before; grown > 100<<20 {
		t.Errorf("the platform has %d MiB more in memory", grown>>20)
	}
	f.end()
	f = p.hostile(t, "data.cjs")
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	body, err := f.try(ctx, "/broken")
	t.Logf("its own request: %s %v", body, err)
	if err == nil {
		t.Fatal("the instance goes on")
	}
	f.gone(t)

	v, err := p.store.Get(t.Context(), owner, key, nil)
	if err != nil || v.State != datacache.Fresh {
		t.Fatalf("the value of the neighbour is %s, %v", v.State, err)
	}
	defer v.Body.Close()
	if text, err := io.ReadAll(v.Body); string(text) != secret {
		t.Errorf("the value of the neighbour is %q, %v", text, err)
	}
}
