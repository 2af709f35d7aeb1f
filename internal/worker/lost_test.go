package worker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// fragile is a stage over a socket whose connections can be cut, as the end of the
// worker's process cuts them.
type fragile struct {
	*stage

	mu    sync.Mutex // guards the field below
	conns []net.Conn
}

func newFragile(t *testing.T, m *machine) *fragile {
	f := &fragile{stage: &stage{T: t, machine: m}}
	dial := worker.Dial(m.socket)
	f.backend = worker.New(worker.ClientOptions{Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.conns = append(f.conns, conn)
		return conn, err
	}})
	return f
}

func (f *fragile) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
}

// lost waits for the error of f, which must be [worker.ErrLost].
func lost(t *testing.T, f func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		if !errors.Is(err, worker.ErrLost) {
			t.Errorf("the error is %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it has not ended")
	}
}

// The client of the request sends nothing while the worker ends.
func TestASilentClientDoesNotKeepALostInvocationOpen(t *testing.T) {
	m := newMachine(t)
	t.Run("after a switch of protocols", func(t *testing.T) {
		s := newFragile(t, m)
		resp, _, err := s.invoke(t.Context(), s.upgrade("echo"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		conn := resp.Body.(io.ReadWriter)
		if _, err := io.WriteString(conn, "one"); err != nil {
			t.Fatal(err)
		}
		s.read(conn, "echo one")
		s.cut()
		lost(t, func() error { _, err := conn.Read(make([]byte, 1)); return err })
	})
	t.Run("in the response", func(t *testing.T) {
		s := newFragile(t, m)
		r, w := io.Pipe()
		resp, _, err := s.invoke(t.Context(), s.request(http.MethodPost, "/echo", io.MultiReader(strings.NewReader("begun"), r)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		defer w.Close()
		s.read(resp.Body, "begun")
		s.cut()
		lost(t, func() error { _, err := resp.Body.Read(make([]byte, 1)); return err })
	})
	t.Run("before the response", func(t *testing.T) {
		s := newFragile(t, m)
		r, w := io.Pipe()
		defer w.Close()
		id := lateen.NewID[lateen.RequestID]("req_", time.Now())
		lost(t, func() error {
			go func() {
				_, _ = io.WriteString(w, "some")
				m.awaitOf(t, id, "/upload got 4")
				s.cut()
			}()
			_, _, err := s.invoke(lateen.WithRequestID(t.Context(), id), s.request(http.MethodPost, "/upload", r))
			return err
		})
	})
}
