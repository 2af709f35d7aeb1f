package edge

import (
	"encoding/binary"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen/internal/server"
)

// files returns the number of files that this process has open.
func files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("there is no /proc on this system")
	}
	return len(list)
}

// An HTTP/2 connection has up to 250 concurrent requests, each of which may hold a file.
// Without a bound on all requests, a few connections of one client could use up the file
// descriptors of the process.
func TestRequestsOfAConnectionCountAsConnections(t *testing.T) {
	for name, bound := range map[string]func(o *Options){
		"in total": func(o *Options) { o.MaxConnections = 50 }, "per client": func(o *Options) { o.MaxPerClient = 50 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.blobFile("/big.bin", 4<<20)
			s.file("/small.txt", "text/plain", "hello")
			bound(&s.options)
			s.open()
			// Smaller than the file: a response that the client has received completely
			// has released its slot.
			s.h2.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10}
			resp, _ := s.send(s.h2, s.request("GET", "/small.txt", nil)) // opens the only connection
			is(t, resp, 200, "")
			before := files(t)
			var sent, refused, answered atomic.Int32
			var asked, read sync.WaitGroup
			end := make(chan struct{})
			for range 200 {
				asked.Add(1)
				read.Go(func() {
					resp, err := s.h2.Do(s.request("GET", "/big.bin", nil))
					if err != nil { // other refused requests are reset
						refused.Add(1)
						asked.Done()
						return
					}
					defer resp.Body.Close()
					if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("X-Vercel-Error") == "OVERLOADED" {
						refused.Add(1)
						answered.Add(1)
					} else if _, err = io.ReadFull(resp.Body, make([]byte, 1)); err == nil {
						sent.Add(1)
					}
					asked.Done()
					<-end // without reading further
				})
			}
			asked.Wait()
			if open := files(t) - before; sent.Load() < 40 || sent.Load() > 50 || sent.Load()+refused.Load() != 200 || open > 60 {
				t.Errorf("%d responses were sent, %d requests refused, and %d files are open", sent.Load(), refused.Load(), open)
			}
			if answered.Load() == 0 {
				t.Error("no refused request got a response")
			}
			close(end)
			read.Wait()
			s.awaitIdle()  // waits for the end of the streams that the client has reset
			for range 60 { // all slots are free again
				resp, body := s.send(s.h2, s.request("GET", "/small.txt", nil))
				if is(t, resp, 200, ""); body != "hello" {
					t.Fatalf("got %q", body)
				}
			}
		})
	}
}

// An HTTP/2 client may read none of the responses that refuse its requests, and each
// would hold memory until the stall timeout.
func TestRefusalsDoNotPileUp(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "front page")
	s.options.MaxPerClient = 1
	s.open()
	c := s.dial()
	frame := func(kind, flags byte, stream uint32, payload string) {
		t.Helper()
		head := append(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))[1:], kind, flags)
		if _, err := c.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...)); err != nil {
			t.Fatal(err)
		}
	}
	next := func() (kind byte) {
		t.Helper()
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			t.Fatal(err)
		}
		return head[3]
	}
	const headers, reset, settings, ends = 1, 3, 4, 5 // RFC 9113 §6; END_STREAM and END_HEADERS
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	frame(settings, 0, 0, "\x00\x04\x00\x00\x00\x00") // SETTINGS_INITIAL_WINDOW_SIZE: 0
	ask := "\x82\x86\x84\x01\x0dapp.localhost"        // RFC 7541 appendix A: GET, http, / and an authority
	frame(headers, ends, 1, ask)
	for next() != headers { // the one admitted request, whose response the client does not read
	}
	const more = 50
	for i := range more {
		frame(headers, ends, uint32(2*i+3), ask)
	}
	count := map[byte]int{}
	for count[headers]+count[reset] < more {
		count[next()]++
	}
	if count[headers] != 1 || count[reset] != more-1 {
		t.Errorf("%d requests were answered and %d reset, want 1 and %d", count[headers], count[reset], more-1)
	}
}

// The platform buffers in memory the bytes that an HTTP/2 client may send before a
// function reads them.
func TestAConnectionBuffersLittleOfUnreadBodies(t *testing.T) {
	s := newStage(t)
	s.open()
	c := s.dial()
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"+ // empty SETTINGS
		"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678") // a PING, whose answer follows the server's settings
	stream, connection := uint32(65535), uint32(65535) // RFC 9113 §6.9.2
	for answered := false; !answered; {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c, payload); err != nil {
			t.Fatal(err)
		}
		const settings, ping, windowUpdate, initialWindowSize = 4, 6, 8, 4
		switch head[3] {
		case ping:
			answered = true
		case windowUpdate:
			connection += binary.BigEndian.Uint32(payload)
		case settings:
			for ; len(payload) >= 6; payload = payload[6:] {
				if binary.BigEndian.Uint16(payload) == initialWindowSize {
					stream = binary.BigEndian.Uint32(payload[2:])
				}
			}
		}
	}
	if most := uint32(server.UnreadBody); stream > most || connection > most || most > 256<<10 {
		t.Errorf("a stream may send %d bytes and a connection %d, want at most %d", stream, connection, most)
	}
}
