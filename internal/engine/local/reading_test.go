package local

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// readers read the body of a request, each with another API, and send it back.
const readers = `
const { once } = require('node:events');
const { Readable, Writable } = require('node:stream');
const { text } = require('node:stream/consumers');
const { pipeline } = require('node:stream/promises');
const zlib = require('node:zlib');
const ways = {
  async iterate(req, res) {
    let whole = '';
    for await (const chunk of req) whole += chunk;
    res.end(whole);
  },
  pipe(req, res) { req.pipe(res); },
  async pipeline(req, res) {
    let whole = '';
    await pipeline(req, new Writable({ write(chunk, _, done) { whole += chunk; done(); } }));
    res.end(whole);
  },
  async consumers(req, res) { res.end(await text(req)); },
  async toWeb(req, res) { res.end(await new Response(Readable.toWeb(req)).text()); },
  readable(req, res) {
    let whole = '';
    req.on('readable', () => {
      for (let chunk; (chunk = req.read()) !== null;) whole += chunk;
    });
    req.on('end', () => res.end(whole));
  },
  events(req, res) {
    let whole = '';
    req.setEncoding('utf8');
    req.on('data', (chunk) => (whole += chunk)).on('end', () => res.end(whole));
  },
  once(req, res) {
    let whole = '';
    req.on('data', (chunk) => (whole += chunk));
    req.once('end', () => res.end(whole));
  },
  prepended(req, res) {
    let whole = '';
    req.prependListener('data', (chunk) => (whole += chunk));
    req.prependOnceListener('end', () => res.end(whole));
    req.resume();
  },
  async later(req, res) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return ways.iterate(req, res);
  },
  async collect(req, res) { res.end(Buffer.concat(await req.toArray())); },
  async resume(req, res) {
    req.resume();
    await once(req, 'end');
    res.end(String(req.body));
  },
  async decode(req, res) {
    res.end(await text(req.headers['content-encoding'] ? req.pipe(zlib.createGunzip()) : req));
  },
  unpipe(req, res) { // as parsers do that give up a body of the wrong kind
    const sink = new Writable({ write(chunk, _, done) { done(); } });
    req.pipe(sink);
    req.unpipe(sink);
    ways.events(req, res);
    req.resume();
  },
  parse(req, res) { // as body-parser does
    req.body = req.body || {};
    if (req.complete && !req.readable) return res.end('it was read before');
    ways.events(req, res);
  },
  body(req, res) { res.end(typeof req.body === 'string' ? req.body : JSON.stringify(req.body)); },
  async both(req, res) {
    const first = req.body;
    const second = await text(req);
    res.end(req.headers['content-type'] === 'text/plain' && first !== second ? 'two bodies' : second);
  },
  state(req, res) { res.end([req.readableEnded, req.readableFlowing, req.readableDidRead, req.destroyed].join()); },
};
module.exports = (req, res) => ways[req.query.way](req, res);
`

// TestABodyIsReadAsOnAPlainServer: the helpers leave the whole body to code that
// reads the request itself.
func TestABodyIsReadAsOnAPlainServer(t *testing.T) {
	r := newRig(t)
	tree := r.tree("readers", map[string]string{"readers.js": readers})
	f := lateen.Function{Runtime: "nodejs24.x", Handler: "readers.js", Tree: tree, LauncherType: "Nodejs", AddHelpers: true}
	i := r.start(t, f, nil)
	send := func(t *testing.T, way, kind, coding string, body io.Reader) string {
		t.Helper()
		req := to(t, http.MethodPost, "/?way="+way, body)
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		if _, unknown := body.(*bufio.Reader); unknown {
			req.ContentLength = -1
		}
		if coding != "" {
			req.Header.Set("Content-Encoding", coding)
		}
		_, got := whole(t, i, req)
		return got
	}
	long := `"` + strings.Repeat("0123456789abcdef", 1<<15) + `"` // more than the read-ahead of a stream
	for _, way := range []string{
		"iterate", "pipe", "pipeline", "consumers", "toWeb", "readable", "events", "once", "prepended", "later", "collect", "decode", "unpipe", "parse", "both",
	} {
		t.Run(way, func(t *testing.T) {
			for _, kind := range []string{"text/plain", "application/json", "image/png", ""} {
				for _, want := range []string{`"This is raw data"`, long} {
					if got := send(t, way, kind, "", strings.NewReader(want)); got != want {
						t.Errorf("%q: %d bytes were read, %.40q", kind, len(got), got)
					}
					if got := send(t, way, kind, "", bufio.NewReader(strings.NewReader(want))); got != want { // unknown length
						t.Errorf("%q in chunks: %d bytes were read, %.40q", kind, len(got), got)
					}
				}
				if kind == "application/json" && way == "parse" {
					continue
				}
				if got := send(t, way, kind, "", http.NoBody); got != "" {
					t.Errorf("%q: without a body %q was read", kind, got)
				}
			}
		})
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(`{"a":1}`)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"decode", "body"} {
		if got := send(t, way, "application/json", "gzip", bytes.NewReader(packed.Bytes())); got != `{"a":1}` {
			t.Errorf("%s of a body in gzip: %q", way, got)
		}
	}
	for way, want := range map[string]string{"body": "x", "resume": "x", "state": "false,,false,false"} {
		if got := send(t, way, "text/plain", "", strings.NewReader("x")); got != want {
			t.Errorf("%s: %q, want %q", way, got, want)
		}
	}
}

// TestAFunctionStreamsBodiesThatTheHelpersDoNotParse: if req.body stays undefined,
// the function is called before the body has arrived.
func TestAFunctionStreamsBodiesThatTheHelpersDoNotParse(t *testing.T) {
	r := newRig(t)
	tree := r.tree("streams", map[string]string{"streams.js": `module.exports = (req, res) => { res.flushHeaders(); req.pipe(res); };`})
	f := lateen.Function{Runtime: "nodejs24.x", Handler: "streams.js", Tree: tree, LauncherType: "Nodejs", AddHelpers: true}
	in, out := io.Pipe()
	req := to(t, http.MethodPost, "/", in)
	req.ContentLength = -1
	req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	resp, err := r.start(t, f, nil).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	go func() {
		_, _ = io.WriteString(out, "sent after the answer began")
		out.Close()
	}()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "sent after the answer began" {
		t.Errorf("%q, %v", got, err)
	}
}
