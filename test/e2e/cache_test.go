//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// kept asks for a page that the platform keeps and returns it with what the
// platform says of its cache.
func (s site) kept(t *testing.T, path string, options ...option) (r *response, state string) {
	t.Helper()
	r = s.get(t, path, options...)
	if r.Status != http.StatusOK {
		t.Fatalf("%s answers %d %s\n%s", path, r.Status, headerText(r.Header), clip(r.Body))
	}
	return r, r.Header.Get("X-Vercel-Cache")
}

// checkRegeneration tells that a page which is kept for two seconds is served
// from memory while fresh, once more while it is made anew in the background,
// and then in its new form.
func checkRegeneration(t *testing.T, s site, path string) {
	t.Helper()
	s.tell(t)
	var first string
	eventually(t, 20*time.Second, func() error { // whatever state it is in, it comes to be fresh
		r, state := s.kept(t, path)
		first = r.fact("rendered-at")
		if state != "HIT" || time.Since(moment(t, first)) > time.Second {
			return fmt.Errorf("%s is %s and from %s", path, state, first)
		}
		return nil
	})
	again, state := s.kept(t, path)
	if state != "HIT" || again.fact("rendered-at") != first {
		t.Errorf("a fresh page is %s and from %s, not %s", state, again.fact("rendered-at"), first)
	}
	if age := again.Header.Get("Age"); age == "" {
		t.Error("a kept page does not tell its age")
	}
	stale := false
	eventually(t, 20*time.Second, func() error {
		r, state := s.kept(t, path)
		now := r.fact("rendered-at")
		switch {
		case state == "STALE" && now != first:
			t.Errorf("a stale page is from %s, not %s", now, first)
		case state == "STALE":
			stale = true
		case state == "HIT" && now != first:
			return nil // made anew
		}
		return fmt.Errorf("%s is %s and from %s", path, state, now)
	})
	if !stale {
		t.Errorf("%s was never served stale", path)
	}
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatalf("the page was rendered at %q", text)
	}
	return at
}
