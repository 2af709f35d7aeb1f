package telemetry

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestTheLastLinesOfTheLogAreKept(t *testing.T) {
	var out bytes.Buffer
	tel, err := New(t.Context(), Options{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	log := tel.Log("test")
	const lines = 2000
	for n := range lines {
		log.Info("numbered", "n", n, "filler", strings.Repeat("x", 1000))
	}
	kept := string(tel.RecentLog())
	if len(kept) > recentBytes || len(kept) < recentBytes/2 || !strings.HasSuffix(out.String(), kept) {
		t.Errorf("%d bytes are kept, which are the last of the log: %v", len(kept), strings.HasSuffix(out.String(), kept))
	}
	if first, _, _ := strings.Cut(kept, "\n"); !strings.HasPrefix(first, "time=") || !strings.Contains(kept, fmt.Sprintf("n=%d ", lines-1)) {
		t.Errorf("the kept lines begin with %.60q", first)
	}
}
