// Package apitest serves a complete API in tests.
package apitest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/observe"
)

// Server is an API with a running control, on a port of its own.
type Server struct {
	*controltest.Platform

	URL  string
	Logs *observe.Log

	stopping chan struct{}

	mu        sync.Mutex // guards the fields below
	calls     []Call
	functions []lateen.FunctionState
}

// Call is a request that the server answered.
type Call struct {
	Method, Path, Query string
	Status              int
}

// New starts a server that stops at the end of the test.
func New(t *testing.T, change ...func(*control.Options)) *Server {
	t.Helper()
	return Serve(t, controltest.New(t, change...))
}

// Serve starts a server for a platform and runs both.
func Serve(t *testing.T, p *controltest.Platform) *Server {
	t.Helper()
	logs, err := observe.Open(t.Context(), observe.Options{Dir: filepath.Join(p.Dir, "logs"), Log: p.Log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = logs.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		logs.Close()
	})
	s := &Server{Platform: p, Logs: logs, stopping: make(chan struct{})}
	handler, err := api.New(api.Options{Control: p.Control, Logs: s.Logs, Functions: s, Log: p.Log, Stopping: s.stopping})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, query := r.URL.Path, r.URL.RawQuery
		watched := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.calls = append(s.calls, Call{Method: r.Method, Path: path, Query: query, Status: watched.status})
		}()
		handler.ServeHTTP(watched, r)
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	p.Start(t)
	return s
}

// BeginStop notifies the API that the platform begins to stop.
func (s *Server) BeginStop() { close(s.stopping) }

// SetFunctions sets the states of functions.
func (s *Server) SetFunctions(functions ...lateen.FunctionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.functions = functions
}

// Functions implements [api.Functions].
func (s *Server) Functions(project lateen.ProjectID) []lateen.FunctionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var of []lateen.FunctionState
	for _, f := range s.functions {
		if f.Project == project {
			of = append(of, f)
		}
	}
	return of
}

// Prepared implements [api.Functions] with the states of SetFunctions.
func (s *Server) Prepared(key lateen.FunctionKey, _ string) *lateen.Preparation {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.functions {
		if lateen.NewFunctionKey(f.Deployment, f.Function) == key {
			return f.Preparation
		}
	}
	return nil
}

// Calls returns the requests answered since its last call.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
