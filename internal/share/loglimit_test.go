package share_test

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/share"
)

func TestTheLinesOfOneTenantDoNotFillALog(t *testing.T) {
	l := share.LogLimit[string]{Most: 10, Window: 10 * time.Second}
	now, written := time.Unix(1000, 0), 0
	for range 10_000 {
		if _, ok := l.Admit("noisy", now); ok {
			written++
		}
	}
	if written != 10 {
		t.Errorf("%d lines of one tenant are written at once, want 10", written)
	}
	if left, ok := l.Admit("quiet", now); !ok || left != 10_000-10 {
		t.Errorf("the line of another tenant: written %v, after %d dropped ones", ok, left)
	}
	if _, ok := l.Admit("noisy", now.Add(10*time.Second)); !ok {
		t.Error("in the next window no line of the tenant is written")
	}
}
