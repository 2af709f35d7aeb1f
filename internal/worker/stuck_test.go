package worker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// stuck is a backend that reads the first byte of a request's body and then hangs, even if
// the request is canceled: before its response, or in it for requests to /response.
type stuck struct {
	worker.Backend

	release <-chan struct{}
}

func (s stuck) Invoke(_ context.Context, _ lateen.FunctionSpec, req *http.Request, _ *lateen.Invocation) (*http.Response, error) {
	if _, err := req.Body.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	if req.URL.Path == "/response" {
		text := io.MultiReader(strings.NewReader("begun"), s)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(text)}, nil
	}
	<-s.release
	return nil, errors.New("released")
}

func (s stuck) Read([]byte) (int, error) {
	<-s.release
	return 0, io.EOF
}

// The client of the request sends nothing either.
func TestAStuckWorkerDoesNotKeepACanceledRequest(t *testing.T) {
	release := make(chan struct{})
	socket := filepath.Join(t.TempDir(), "w")
	listener, err := worker.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	run(t, worker.NewServer(worker.ServerOptions{Backend: stuck{release: release}, Listener: listener, Events: worker.NewEvents()}).Run)
	t.Cleanup(func() { close(release) })
	s := &stage{T: t, backend: worker.New(worker.ClientOptions{Dial: worker.Dial(socket)})}
	for _, path := range []string{"/", "/response"} {
		t.Run(path, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body, w := io.Pipe()
			defer w.Close()
			ended := make(chan error, 1)
			go func() {
				resp, _, err := s.invokeSpec(ctx, lateen.FunctionSpec{Name: "fn"}, s.request(http.MethodPost, path, body))
				if err == nil {
					cancel()
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				ended <- err
			}()
			if _, err := io.WriteString(w, "x"); err != nil {
				t.Fatal(err)
			}
			if path == "/" {
				cancel()
			}
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the error is %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("it has not ended")
			}
		})
	}
}
