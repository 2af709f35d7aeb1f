package relay

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/guest"
)

// brokenWriter is a connection that the program has closed.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, http.ErrHandlerTimeout }
func (brokenWriter) FlushError() error         { return http.ErrHandlerTimeout }

// TestAnUndeliveredInvocationIsGivenToTheNextCall has a program cancel
// `next`, before and during the write of the invocation.
func TestAnUndeliveredInvocationIsGivenToTheNextCall(t *testing.T) {
	l, err := newLambda(guest.Activate{Lambda: &guest.Lambda{Name: "f", Timeout: 10}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.api.Close()
	ask := func(w http.ResponseWriter, ctx context.Context) {
		l.next(w, httptest.NewRequestWithContext(ctx, http.MethodGet, lambdaPath+"/invocation/next", nil))
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	inv := &invocation{id: "one", event: []byte("event"), deadline: time.Now(), answer: make(chan answer, 1)}
	l.undelivered <- inv
	for range 50 { // select chooses randomly between two ready channels
		ask(httptest.NewRecorder(), gone)
	}
	ask(brokenWriter{httptest.NewRecorder()}, t.Context())
	w := httptest.NewRecorder()
	ask(w, t.Context())
	if w.Body.String() != "event" || w.Header().Get("Lambda-Runtime-Aws-Request-Id") != "one" {
		t.Errorf("the next question is answered %q with %v", w.Body.String(), w.Header())
	}
	if l.take("one") != inv || len(l.undelivered) != 0 {
		t.Error("the program does not have the invocation alone")
	}
}
