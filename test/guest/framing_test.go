package guest_test

import (
	"bytes"
	"fmt"
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

// relayed answers, in the way that its query selects, with the response of the URL
// in its query.
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

// A body ends where its Content-Length says (RFC 9112, section 6.3). One byte
// more would be the beginning of the next visitor's response.
func TestABodyLongerThanItsContentLengthIsCut(t *testing.T) {
	p := newPlatform(t)
	p.function("/node", node(), `module.exports = (req, res) => {
  res.setHeader('content-length', 5);
  switch (req.query.how) {
    case 'pieces': res.write('ab'); res.write('cde'); res.write('fg'); return res.end('hi');
    case 'later': res.write('abcde'); return setTimeout(() => res.end('f'), 5);
    case 'bytes': return res.end(Buffer.from('abcdefghi'));
    case 'head': res.writeHead(200, ['Content-Length', '5']); return res.end('abcdefghi');
    case 'latin1': return res.end('abcdé', 'latin1');
    default: return res.end('abcdefghi');
  }
};`)
	p.function("/web", web(), `export const GET = () => new Response('abcdefghi', { headers: { 'content-length': '5' } });`)
	p.function("/edge", edgeFunction(), `export default () => new Response('abcdefghi', { headers: { 'content-length': '5' } });`)
	p.function("/next", node(), `module.exports = (req, res) => res.end('next');`)
	for _, path := range []string{"/node", "/node?how=pieces", "/node?how=later", "/node?how=bytes", "/node?how=head", "/node?how=latin1", "/web", "/edge"} {
		want := "abcde"
		if strings.HasSuffix(path, "latin1") {
			want = "abcd\xe9"
		}
		for n := range 3 { // on the same connection to the process
			resp, body := p.get(path)
			if body != want || resp.StatusCode != http.StatusOK {
				t.Errorf("%s, visit %d: %d %q, want %q", path, n, resp.StatusCode, body, want)
			}
		}
	}
}

func TestABodyShorterThanItsContentLengthBreaksTheResponse(t *testing.T) {
	p := newPlatform(t)
	p.function("/node", node(), `module.exports = (req, res) => {
  if (req.query.ok) return res.end('ok');
  res.setHeader('content-length', 50);
  res.end('abc');
};`)
	p.function("/web", web(), `export const GET = (request) => new URL(request.url).searchParams.has('ok')
  ? new Response('ok') : new Response('abc', { headers: { 'content-length': '50' } });`)
	for _, path := range []string{"/node", "/web"} {
		for range 2 {
			if text, err := p.cut(path); err == nil {
				t.Errorf("%s: %q was taken for the whole", path, text)
			}
			if _, body := p.get(path + "?ok=1"); body != "ok" {
				t.Errorf("%s: the next visitor got %q", path, body)
			}
		}
	}
}

// cut returns the received part of a response, and the reason of its end.
func (p *platform) cut(path string) (string, error) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://app.localhost"+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusInternalServerError {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return string(text), err
}
