package edge

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// decode decodes a content coding.
func decode(t *testing.T, coding string, r io.Reader) io.Reader {
	t.Helper()
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case "br":
		return brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
	return r
}

func TestDynamicResponsesAreCompressed(t *testing.T) {
	page := strings.Repeat("<p>hello</p>", 1000)
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Etag", `"x"`)
		if r.URL.Query().Has("sized") {
			w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		}
		io.WriteString(w, page)
	}).open()
	for _, path := range []string{"/fn", "/fn?sized"} {
		for accept, want := range map[string]string{"gzip, deflate, br, zstd": "zstd", "br": "br", "gzip": "gzip", "gzip;q=0": "", "": ""} {
			resp, body := s.get(path, "Accept-Encoding: "+accept)
			has(t, resp.Header, "Content-Encoding", want)
			has(t, resp.Header, "Vary", "Accept-Encoding")
			plain, err := io.ReadAll(decode(t, want, strings.NewReader(body)))
			if err != nil || string(plain) != page {
				t.Errorf("%s in %q: %d bytes, %v", path, want, len(plain), err)
			}
			if want != "" {
				has(t, resp.Header, "Etag", `W/"x"`)
				if len(body) > len(page)/4 {
					t.Errorf("%s in %q: %d bytes of %d", path, want, len(body), len(page))
				}
			} else {
				has(t, resp.Header, "Etag", `"x"`)
			}
		}
	}
}

func TestCompressedStreamsAreFlushedPieceByPiece(t *testing.T) {
	more := make(chan bool)
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		http.NewResponseController(w).Flush()
		for <-more {
			io.WriteString(w, "piece of a page\n")
			http.NewResponseController(w).Flush()
		}
	}).open()
	for _, coding := range []string{"gzip", "br", "zstd"} {
		resp, err := s.client.Do(s.request("GET", "/fn", nil, "Accept-Encoding: "+coding))
		if err != nil {
			t.Fatal(err)
		}
		has(t, resp.Header, "Content-Encoding", coding)
		more <- true
		plain := decode(t, coding, resp.Body)
		for i := range 3 {
			if i > 0 {
				more <- true
			}
			piece := make([]byte, len("piece of a page\n"))
			if _, err := io.ReadFull(plain, piece); err != nil || string(piece) != "piece of a page\n" {
				t.Fatalf("%s: got %q, %v", coding, piece, err)
			}
		}
		more <- false
		if rest, err := io.ReadAll(plain); len(rest) > 0 || err != nil {
			t.Errorf("%s: %q, %v", coding, rest, err)
		}
		resp.Body.Close()
	}
}

func TestUncompressedResponses(t *testing.T) {
	text := strings.Repeat("text ", 1000)
	for name, header := range map[string]string{
		"a coding of its own": "Content-Encoding: br", "an image": "Content-Type: image/png", "an event stream": "Content-Type: text/event-stream",
		"no-transform": "Cache-Control: public, no-transform", "a range": "Content-Range: bytes 0-1/2", "a little": "Content-Length: 1000",
		"no type": "Content-Type: ",
	} {
		s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			key, value, _ := strings.Cut(header, ": ")
			w.Header().Set(key, value)
			if key == "Content-Length" {
				io.WriteString(w, text[:1000])
				return
			}
			io.WriteString(w, text)
		}).open()
		resp, body := s.get("/fn", "Accept-Encoding: gzip")
		if got := resp.Header.Get("Content-Encoding"); got == "gzip" || !strings.HasPrefix(text, body) {
			t.Errorf("%s: encoding %q", name, got)
		}
	}
}

func TestHEADOfACompressedPageMatchesGET(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "5000")
		w.Write(bytes.Repeat([]byte("x"), 5000))
	}).open()
	resp, _ := s.do("HEAD", "/fn", nil, "Accept-Encoding: gzip")
	has(t, resp.Header, "Content-Encoding", "gzip")
	has(t, resp.Header, "Content-Length", "")
}

// An encoder takes one or two megabytes of memory, and a client may have a thousand
// responses that it does not read.
func TestSlowlyReadResponsesHoldFewEncoders(t *testing.T) {
	end := make(chan struct{})
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		http.NewResponseController(w).Flush()
		<-end
	}).open()
	const asked = maxEncoders + 8
	count := map[string]int{}
	var open []io.Closer
	for range asked {
		resp, err := s.client.Do(s.request("GET", "/fn", nil, "Accept-Encoding: br"))
		if err != nil {
			t.Fatal(err)
		}
		has(t, resp.Header, "Vary", "Accept-Encoding")
		count[resp.Header.Get("Content-Encoding")]++
		open = append(open, resp.Body)
	}
	if n := count["br"]; n == 0 || n > maxEncoders/2 || count[""] != asked-n {
		t.Errorf("%v of one team's responses are compressed, want half of %d at most", count, maxEncoders)
	}
	close(end)
	for _, body := range open {
		body.Close()
	}
	s.awaitIdle()
	if free := s.edge.encoders.Free(); free != maxEncoders {
		t.Errorf("%d places are free after all responses, want %d", free, maxEncoders)
	}
}
