package edge

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
)

// The page streams to the leading client while it is being cached.
func TestAMissStreams(t *testing.T) {
	s := newStage(t)
	s.manifest.Prerenders = map[string]lateen.Prerender{"/isr": {}}
	s.function("/isr", lateen.Function{})
	release := make(chan struct{})
	s.handle(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "first ")
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "second")
	})
	var err error
	if s.options.Cache, err = cache.Open(cache.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); s.options.Cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	s.open()
	resp, err := s.client.Do(s.request("GET", "/isr", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first " {
		t.Fatalf("read %q, %v", first, err)
	}
	close(release)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(rest) != "second" {
		t.Fatalf("then %q, %v", rest, err)
	}
	for range 2 {
		resp, err := s.client.Do(s.request("GET", "/isr", nil))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != "first second" {
			t.Errorf("afterwards %q, %v", b, err)
		}
	}
}
