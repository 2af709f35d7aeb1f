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
			// Less than a file: one that is whole at the client has left its place.
			s.h2.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10}
			resp, _ := s.send(s.h2, s.request("GET", "/small.txt", nil)) // opens the one connection
			is(t, resp, 200, "")
			before := files(t)
			var sent, refused, told atomic.Int32
			var asked, read sync.WaitGroup
			end := make(chan struct{})
			for range 200 {
				asked.Add(1)
				read.Go(func() {
					resp, err := s.h2.Do(s.request("GET", "/big.bin", nil))
					if err != nil { // one at a time is told
						refused.Add(1)
						asked.Done()
						return
					}
					defer resp.Body.Close()
					if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("X-Vercel-Error") == "OVERLOADED" {
						refused.Add(1)
						told.Add(1)
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
			if told.Load() == 0 {
				t.Error("no response says that requests are refused")
			}
			close(end)
			read.Wait()
			s.rest()       // of streams that the client has reset
			for range 60 { // all places are given back
				resp, body := s.send(s.h2, s.request("GET", "/small.txt", nil))
				if is(t, resp, 200, ""); body != "hello" {
					t.Fatalf("got %q", body)
				}
			}
		})
	}
}

// TestRefusalsDoNotPileUp: a client of HTTP/2 may take nothing of the answers that
// refuse its requests, and each would have memory until it has stalled.
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
	ask := "\x82\x86\x84\x01\x0dapp.localhost"        // RFC 7541 appendix A: GET http / of an authority
	frame(headers, ends, 1, ask)
	for next() != headers { // the one request there may be, whose answer is not taken
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
		t.Errorf("%d requests are answered and %d reset, want 1 and %d", count[headers], count[reset], more-1)
	}
}

// TestAConnectionHoldsLittleOfBodiesThatNobodyReads: what a client of HTTP/2 may send
// before a function reads it is in the memory of the platform.
func TestAConnectionHoldsLittleOfBodiesThatNobodyReads(t *testing.T) {
	s := newStage(t)
	s.open()
	c := s.dial()
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"+ // no settings of its own
		"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678") // and a ping, whose answer comes behind what it is told
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
