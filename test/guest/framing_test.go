package guest_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// plain is longer than it is in any coding.
var plain = strings.Repeat("a line that compresses well\n", 400)

// origin answers with plain in the coding that its path names.
func origin(t *testing.T) *httptest.Server {
	t.Helper()
	bodies := map[string][]byte{}
	for coding, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip":    func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"deflate": func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil },
		"br":      func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil },
		"zstd":    func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	} {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, plain)
		w.Close()
		bodies[coding] = b.Bytes()
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		coding := strings.Trim(r.URL.Path, "/")
		w.Header().Set("Content-Type", "text/x-origin")
		w.Header().Set("Content-Encoding", coding)
		w.Header().Set("Content-Length", strconv.Itoa(len(bodies[coding])))
		w.Write(bodies[coding])
	}))
	t.Cleanup(s.Close)
	return s
}

// relayed answers, in the way that its query says, with what it fetches from the
// URL in its query.
const relayed = `const ways = {
  returned: (response) => response,
  copied: (response) => new Response(response.body, response),
  cloned: (response) => response.clone(),
  text: async (response) => new Response(await response.text(), { headers: response.headers }),
  whole: async (response) => new Response(await response.arrayBuffer(), { status: response.status, headers: response.headers }),
  transformed: (response) => new Response(response.body.pipeThrough(new TransformStream()), response),
};
const GET = async (request) => {
  const { searchParams } = new URL(request.url);
  return ways[searchParams.get('way')](await fetch(searchParams.get('url')));
};
`

// The body of a fetched response is decoded, and its header still names the
// coding and the encoded length (Fetch standard, section 4.6).
func TestAFetchedResponseIsPassedOnAsItIsAfterDecoding(t *testing.T) {
	from := origin(t)
	p := newPlatform(t, from.Listener.Addr())
	if !p.networks {
		t.Skip("this host permits no network namespace")
	}
	p.function("/edge", edgeFunction(), relayed+"export default GET;")
	p.function("/web", web(), relayed+"export { GET };")
	_, port, _ := net.SplitHostPort(from.Listener.Addr().String())
	for _, path := range []string{"/edge", "/web"} {
		for _, way := range []string{"returned", "copied", "cloned", "text", "whole", "transformed"} {
			for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
				resp, body := p.get(path + "?way=" + way + "&url=" + url.QueryEscape("http://origin.localhost:"+port+"/"+coding))
				if body != plain || resp.Header.Get("Content-Encoding") != "" || resp.Header.Get("Content-Type") != "text/x-origin" {
					t.Errorf("%s, %s, %s: %s, %d bytes with %v, want the %d of the plain body", path, way, coding, resp.Status, len(body), resp.Header, len(plain))
				}
			}
		}
	}
}

func TestABodyThatAFunctionEncodesItselfStaysEncoded(t *testing.T) {
	p := newPlatform(t)
	p.function("/stream", web(), `export const GET = () => new Response(
  new Blob(['x'.repeat(5000)]).stream().pipeThrough(new CompressionStream('gzip')), { headers: { 'content-encoding': 'gzip' } });`)
	p.function("/whole", web(), `import { brotliCompressSync } from 'node:zlib';
export const GET = () => new Response(brotliCompressSync('x'.repeat(5000)), { headers: { 'content-encoding': 'br' } });`)
	for path, open := range map[string]func(io.Reader) (io.Reader, error){
		"/stream": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"/whole":  func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	} {
		resp, body := p.get(path, "Accept-Encoding: gzip, br")
		r, err := open(strings.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v, header %v", path, err, resp.Header)
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != strings.Repeat("x", 5000) {
			t.Errorf("%s: %v after %d bytes", path, err, len(text))
		}
	}
}
