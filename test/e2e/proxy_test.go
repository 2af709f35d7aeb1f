//go:build e2e

package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// watcher is a proxy in front of a platform's API that records the requests.
type watcher struct {
	url string

	mu    sync.Mutex
	calls []string // method and path
}

// watch starts a watcher that ends with the test.
func watch(t *testing.T, p *platform) *watcher {
	t.Helper()
	to, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
	}, FlushInterval: -1}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.calls = append(w.calls, r.Method+" "+r.URL.Path)
		w.mu.Unlock()
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// uploads returns the number of files sent since its last call.
func (w *watcher) uploads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, call := range w.calls {
		if call == "POST /v2/files" {
			n++
		}
	}
	w.calls = nil
	return n
}
