package edge

import (
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// files is how many files this process has open.
func files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("there is no /proc on this system")
	}
	return len(list)
}

// TestRequestsOfAConnectionCountAsConnections: HTTP/2 has 250 requests at once on
// a connection, each of which may hold a file. Without a bound of all, some
// connections of one client take all files of the process.
func TestRequestsOfAConnectionCountAsConnections(t *testing.T) {
	for name, bound := range map[string]func(o *Options){
		"of all": func(o *Options) { o.MaxConnections = 50 }, "of a client": func(o *Options) { o.MaxPerClient = 50 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.blobFile("/big.bin", 4<<20)
			s.file("/small.txt", "text/plain", "hello")
			bound(&s.options)
			s.open()
			resp, _ := s.send(s.h2, s.request("GET", "/small.txt", nil)) // opens the one connection
			is(t, resp, 200, "")
			before := files(t)
			var sent, refused atomic.Int32
			var asked, read sync.WaitGroup
			end := make(chan struct{})
			for range 200 {
				asked.Add(1)
				read.Go(func() {
					resp, err := s.h2.Do(s.request("GET", "/big.bin", nil))
					if err != nil {
						t.Error(err)
						asked.Done()
						return
					}
					defer resp.Body.Close()
					if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("X-Vercel-Error") == "OVERLOADED" {
						refused.Add(1)
					} else if _, err = io.ReadFull(resp.Body, make([]byte, 1)); err == nil {
						sent.Add(1)
					}
					asked.Done()
					<-end // and reads no more
				})
			}
			asked.Wait()
			if open := files(t) - before; sent.Load() < 40 || sent.Load() > 50 || sent.Load()+refused.Load() != 200 || open > 60 {
				t.Errorf("%d are sent, %d refused, and %d files are open", sent.Load(), refused.Load(), open)
			}
			close(end)
			read.Wait()
			for range 60 { // all places are given back
				resp, body := s.send(s.h2, s.request("GET", "/small.txt", nil))
				if is(t, resp, 200, ""); body != "hello" {
					t.Fatalf("got %q", body)
				}
			}
		})
	}
}
