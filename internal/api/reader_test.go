package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/observe"
)

func TestTheLogFollowersOfOneTokenAreBounded(t *testing.T) {
	w := newWorld(t)
	handler, err := api.New(api.Options{Control: w.Control, Logs: w.Logs, Log: w.Log})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	w.token(t, "owner", "greedy", lateen.ScopeReadOnly, "")
	const path = "/v1/projects/{project}/logs?follow=1"
	var all []*http.Response
	for range 400 {
		resp := w.streamAs(t, "greedy", server.URL, path)
		all = append(all, resp)
		if resp.StatusCode != http.StatusOK {
			break
		}
	}
	if last := all[len(all)-1]; last.StatusCode != http.StatusTooManyRequests {
		t.Errorf("of one token, the follower after %d gets %d, want 429", len(all)-1, last.StatusCode)
	}
	other := w.streamAs(t, "owner", server.URL, path)
	if other.StatusCode != http.StatusOK {
		t.Errorf("a follower with another token gets %d", other.StatusCode)
	}
	for _, resp := range append(all, other) {
		resp.Body.Close()
	}
}

// countedLogs counts the concurrent queries, and blocks each until it is released.
type countedLogs struct {
	api.Logs

	under, most atomic.Int64
	end         chan struct{}
}

// Query implements [api.Logs].
func (l *countedLogs) Query(ctx context.Context, _ observe.Query) ([]observe.Entry, bool, error) {
	if n := l.under.Add(1); n > l.most.Load() {
		l.most.Store(n)
	}
	defer l.under.Add(-1)
	select {
	case <-l.end:
	case <-ctx.Done():
	}
	return nil, false, nil
}

func TestTheConcurrentLogRepliesOfOneTokenAreBounded(t *testing.T) {
	w := newWorld(t)
	logs := &countedLogs{Logs: w.Logs, end: make(chan struct{})}
	handler, err := api.New(api.Options{Control: w.Control, Logs: logs, Log: w.Log})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if resp := w.stream(t, server.URL, "/v1/projects/{project}/logs?limit=1000"); resp.StatusCode != http.StatusOK {
				t.Errorf("a reader gets %d", resp.StatusCode)
			}
		})
	}
	for range 40 {
		logs.end <- struct{}{}
	}
	all.Wait()
	if most := logs.most.Load(); most > 8 {
		t.Errorf("one token has %d replies at once, want 8 at most", most)
	}
}
