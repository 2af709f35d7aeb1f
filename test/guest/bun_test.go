package guest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// bun puts a function for Bun at path.
func (p *platform) bun(path, handler, source string) {
	p.t.Helper()
	p.function(path, lateen.Function{Runtime: "bun1.x", Handler: handler, LauncherType: "Nodejs"}, source)
}

// The origin is in the function's own sandbox: Bun resolves names under
// localhost itself.
func TestBunPassesAFetchedResponseOnAsItIsAfterDecoding(t *testing.T) {
	p := newPlatform(t)
	p.bun("/web", "index.mjs", `import { createServer } from 'node:http';
import zlib from 'node:zlib';
const encode = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, br: zlib.brotliCompressSync, zstd: zlib.zstdCompressSync };
const origin = createServer((req, res) => {
  const coding = req.url.slice(1);
  res.writeHead(200, { 'content-type': 'text/x-origin', 'content-encoding': coding });
  res.end(encode[coding]('a line that compresses well\n'.repeat(400)));
});
const listening = () => new Promise((resolve) => (origin.listening ? resolve() : origin.listen(0, '127.0.0.1', resolve)));
`+strings.Replace(relayed, "searchParams.get('url')", "(await listening(), `http://127.0.0.1:${origin.address().port}/${searchParams.get('coding')}`)", 1)+"export { GET };")
	for _, way := range []string{"returned", "copied", "cloned", "text", "whole", "transformed"} {
		for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
			resp, body := p.get("/web?way=" + way + "&coding=" + coding)
			if body != plain || resp.Header.Get("Content-Encoding") != "" || resp.Header.Get("Content-Type") != "text/x-origin" {
				t.Errorf("%s, %s: %s, %d bytes with %v, want the %d of the plain body", way, coding, resp.Status, len(body), resp.Header, len(plain))
			}
		}
	}
}

func TestABodyOfBunEndsAtItsContentLength(t *testing.T) {
	p := newPlatform(t)
	p.bun("/web", "index.mjs", `export const GET = () => new Response('abcdefghi', { headers: { 'content-length': '5' } });`)
	p.bun("/stream", "index.mjs", `export const GET = () => new Response(new Blob(['abcdefghi']).stream(), { headers: { 'content-length': '5' } });`)
	p.bun("/node", "index.js", `module.exports = (req, res) => { res.setHeader('content-length', 5); res.end('abcdefghi'); };`)
	for _, path := range []string{"/web", "/stream", "/node"} {
		first := ""
		for n := range 3 { // the next visitor's response is not touched
			resp, body := p.get(path)
			if n == 0 {
				first = body
			}
			if resp.StatusCode != http.StatusOK || body != first || body != "abcde" && body != "abcdefghi" {
				t.Errorf("%s, visit %d: %s %q", path, n, resp.Status, body)
			}
		}
	}
}

func TestAnErrorInAListenerOfARequestOfBunFailsIt(t *testing.T) {
	p := newPlatform(t)
	p.bun("/fn", "index.js", `module.exports = (req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => res.end(String(JSON.parse(Buffer.concat(chunks)).a)));
};`)
	resp, _ := p.send(http.MethodPost, "/fn", "{not JSON")
	if code := resp.Header.Get("X-Vercel-Error"); resp.StatusCode != http.StatusInternalServerError || code != "FUNCTION_INVOCATION_FAILED" {
		t.Errorf("got %d %q, want 500 FUNCTION_INVOCATION_FAILED", resp.StatusCode, code)
	}
	if resp, body := p.send(http.MethodPost, "/fn", `{"a":1}`); resp.StatusCode != http.StatusOK || body != "1" {
		t.Errorf("the next visitor gets %d %q", resp.StatusCode, body)
	}
}

func TestAMethodThatABunFunctionDoesNotHaveIsRefused(t *testing.T) {
	p := newPlatform(t)
	p.bun("/fn", "index.mjs", `export const GET = () => new Response('got');`)
	if resp, _ := p.send(http.MethodPut, "/fn", "x"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %s", resp.Status)
	}
}
