package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// readExactly reads len(want) bytes, which must equal want.
func readExactly(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q (%v), want %q", got, err, want)
	}
}

// Shouts checks that an instance responds while it receives a request: the function
// returns its input in capitals, each piece before the next is sent. ask makes the
// request from a body of unknown length.
func Shouts(t *testing.T, i engine.Instance, ask func(body io.Reader) *http.Request) {
	t.Helper()
	body, w := io.Pipe()
	req := ask(body)
	req.ContentLength = -1
	pieces := make(chan string)
	go func() {
		defer w.Close()
		for piece := range pieces {
			if _, err := io.WriteString(w, piece); err != nil {
				t.Error(err)
			}
		}
	}()
	pieces <- "one" // some functions send no response before the first piece
	resp, err := i.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	readExactly(t, resp.Body, "ONE")
	pieces <- "two"
	readExactly(t, resp.Body, "TWO")
	close(pieces)
	if rest := readAll(t, resp); rest != "" {
		t.Errorf("unread: %q", rest)
	}
}

func (s *Suite) streaming(t *testing.T) {
	for _, handler := range []string{"echo.js", "echo-web.mjs"} {
		t.Run(handler+" responds while it receives", func(t *testing.T) {
			f := s.start(t, "node", handler, nil)
			for range 2 {
				r, w := io.Pipe()
				resp, err := f.RoundTrip(f.request(http.MethodPost, "/", r))
				if err != nil {
					t.Fatal(err)
				}
				for _, piece := range []string{"first", "second", "the third"} {
					if _, err := io.WriteString(w, piece); err != nil {
						t.Fatal(err)
					}
					readExactly(t, resp.Body, piece) // before the next piece is sent
				}
				w.Close()
				if rest := readAll(t, resp); rest != "" {
					t.Errorf("unread: %q", rest)
				}
			}
		})
		t.Run(handler+" carries large bodies of known length", func(t *testing.T) {
			f := s.start(t, "node", handler, nil)
			body := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
			for range 2 {
				if got := f.do(f.request(http.MethodPost, "/", bytes.NewReader(body))); got.body != string(body) {
					t.Errorf("got %d bytes, want %d", len(got.body), len(body))
				}
			}
		})
	}
	t.Run("a slow reader slows the writer down", func(t *testing.T) {
		f := s.start(t, "node", "slow-body.mjs", nil)
		resp, err := f.RoundTrip(f.request(http.MethodPost, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		var before, after int
		f.until("the writer stands still", func() bool {
			before = after
			after, err = strconv.Atoi(f.get("/").body)
			return err == nil && before == after
		})
		if after > 64 { // 64 KiB each; sockets and buffers hold some
			t.Errorf("%d pieces were written, 16 were read", after)
		}
		resp.Body.Close()
		f.idles()
	})
	t.Run("an unread body blocks no other request", func(t *testing.T) {
		f := s.start(t, "node", "echo-web.mjs", nil)
		body := bytes.Repeat([]byte("x"), 3<<20)
		for range 3 {
			if got := f.do(f.request(http.MethodPut, "/", bytes.NewReader(body))); got.body != "saw some" {
				t.Errorf("got %s", got)
			}
			if got := f.do(f.request(http.MethodDelete, "/", bytes.NewReader(body))); got.body != "saw nothing" {
				t.Errorf("got %s", got)
			}
		}
	})
}

func (s *Suite) upgrade(t *testing.T) {
	f := s.start(t, "exports", "upgrade.js", nil)
	req := f.request(http.MethodGet, "/", nil)
	req.Header.Set("Connection", "keep-alive, Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := f.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "echo" || !ok {
		t.Fatalf("got %s with %T", resp.Status, resp.Body)
	}
	for _, word := range []string{"one", "two"} {
		if _, err := io.WriteString(conn, word); err != nil {
			t.Fatal(err)
		}
		readExactly(t, conn, "echo "+word)
	}
	if f.Busy() != 1 {
		t.Errorf("%d open requests, want 1", f.Busy())
	}
	if _, err := io.WriteString(conn, "bye"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "bye yourself" {
		t.Errorf("at the end: %q, %v", rest, err)
	}
	conn.Close()
	f.idles()
	if got := f.get("/"); got.body != "plain" {
		t.Errorf("a plain request: %s", got)
	}
}

func (s *Suite) abort(t *testing.T) {
	t.Run("an abandoned response ends in the function", func(t *testing.T) {
		f := s.start(t, "node", "abort.mjs", nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, err := f.RoundTrip(f.request(http.MethodGet, "/", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		readExactly(t, resp.Body, "begun")
		gone := errors.New("the client has gone")
		cancel(gone)
		if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, gone) {
			t.Errorf("read error: %v, want the context's cause", err)
		}
		s.Logs.await(t, f.ID(), "aborted AbortError")
		s.Logs.await(t, f.ID(), "cancelled")
		f.idles()
	})
	t.Run("so does a closed one", func(t *testing.T) {
		f := s.start(t, "node", "abort.mjs", nil)
		resp, err := f.RoundTrip(f.request(http.MethodGet, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		s.Logs.await(t, f.ID(), "aborted AbortError")
		f.idles()
	})
	t.Run("a request without a response is aborted", func(t *testing.T) {
		f := s.start(t, "node", "meet.js", nil)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, lateen.ErrFunctionTimeout)
		defer cancel()
		_, err := f.try(f.request(http.MethodGet, "/wait?door=never", nil).WithContext(ctx))
		fails(t, err, lateen.ErrFunctionTimeout, "")
		f.idles()
	})
	t.Run("a canceled request is not sent", func(t *testing.T) {
		f := s.start(t, "exports", "cjs.js", nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone before")
		cancel(gone)
		for range 3 {
			if _, err := f.try(f.request(http.MethodGet, "/", nil).WithContext(ctx)); !errors.Is(err, gone) {
				t.Errorf("error: %v, want the context's cause", err)
			}
		}
		f.idles()
	})
	t.Run("requests aborted at any moment leave no open request", func(t *testing.T) {
		f := s.start(t, "exports", "async.js", nil)
		for k := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(k*10)*time.Microsecond)
			_, _ = f.try(f.request(http.MethodGet, "/", nil).WithContext(ctx)) // with a response or an error
			cancel()
		}
		f.idles()
		if got := f.get("/"); got.body != "async GET /" {
			t.Errorf("the next request: %s", got)
		}
	})
	t.Run("an aborted upload is an error in the function", func(t *testing.T) {
		f := s.start(t, "node", "abort.mjs", nil)
		lost := errors.New("lost the client")
		r, w := io.Pipe()
		done := make(chan error, 1)
		req := f.request(http.MethodPost, "/", r)
		go func() {
			_, err := f.try(req)
			done <- err
		}()
		if _, err := io.Copy(w, strings.NewReader("some")); err != nil {
			t.Fatal(err)
		}
		s.Logs.await(t, f.ID(), "got 4")
		w.CloseWithError(lost)
		s.Logs.await(t, f.ID(), "upload broke off")
		if err := <-done; !errors.Is(err, lost) {
			t.Errorf("error: %v, want the error of the body", err)
		}
		f.idles()
	})
}
