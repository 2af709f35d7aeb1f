//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// kept requests a cached page and returns it with its cache state.
func (s site) kept(t *testing.T, path string, options ...option) (r *response, state string) {
	t.Helper()
	r = s.get(t, path, options...)
	if r.Status != http.StatusOK {
		t.Fatalf("%s answers %d %s\n%s", path, r.Status, headerText(r.Header), clip(r.Body))
	}
	return r, r.Header.Get("X-Vercel-Cache")
}

// checkRegeneration checks that a page with a lifetime of two seconds is served from
// the cache while fresh, once more while it is regenerated in the background, and
// then in its new form.
func checkRegeneration(t *testing.T, s site, path string) {
	t.Helper()
	s.tell(t)
	var fresh, stale string // render time of the response served so
	kept := false           // fresh was served twice
	eventually(t, func() error {
		r, state := s.kept(t, path)
		now := r.fact("rendered-at")
		switch {
		case state == "HIT" && r.Header.Get("Age") == "":
			t.Fatal("a kept page does not tell its age")
		case state == "HIT" && stale != "" && now != stale:
			return nil // regenerated
		case state == "HIT" && now != fresh:
			fresh, kept = now, false
		case state == "HIT":
			kept = true
		case state == "STALE" && kept && now == fresh:
			stale = now
		}
		return fmt.Errorf("%s is %s and from %s; fresh was %q, stale %q", path, state, now, fresh, stale)
	})
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatalf("the page was rendered at %q", text)
	}
	return at
}
