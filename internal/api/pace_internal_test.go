package api

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// body returns a body with a minimum rate, written by send, which returns before the
// end of the test.
func body(t *testing.T, send func(w *io.PipeWriter)) *pace {
	t.Helper()
	r, w := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		send(w)
	}()
	t.Cleanup(func() {
		r.Close()
		<-sent
	})
	return &pace{ReadCloser: r, cut: func() { r.CloseWithError(os.ErrDeadlineExceeded) }}
}

func TestABodyBelowTheMinimumRateIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		n, err := io.Copy(io.Discard, body(t, func(w *io.PipeWriter) {
			for {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}))
		if !errors.Is(err, errSlow) || n > paceBytes || time.Since(began) != paceWindow {
			t.Errorf("after %d bytes in %s: %v", n, time.Since(began), err)
		}
		time.Sleep(time.Second) // the sender may sleep: the bubble must not end first
	})
}

func TestAStalledBodyIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := io.Copy(io.Discard, body(t, func(w *io.PipeWriter) { _, _ = w.Write(make([]byte, 1<<20)) }))
		if !errors.Is(err, errSlow) || time.Since(began) != paceWindow {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// The sender has 2 KiB/s. The time in which the platform does not read does not
// count.
func TestABodyAtTheMinimumRateIsReadCompletely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := body(t, func(w *io.PipeWriter) {
			for range 100 {
				_, _ = w.Write(make([]byte, 2048))
				time.Sleep(time.Second)
			}
			w.Close()
		})
		buf, n := make([]byte, 4096), 0
		for {
			got, err := p.Read(buf)
			n += got
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			if n%20480 == 0 {
				time.Sleep(time.Minute)
			}
		}
		if n != 204_800 {
			t.Errorf("%d bytes were read", n)
		}
	})
}
