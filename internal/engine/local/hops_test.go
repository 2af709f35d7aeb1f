package local

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/guest"
)

// askers request the URL in their query, each with another API.
var askers = map[string]string{
	"fetch.js": `module.exports = async (req, res) => res.end(await (await fetch(req.query.url)).text())`,
	"http.js": `const http = require('node:http');
module.exports = (req, res) => http.get(req.query.url, (answer) => answer.pipe(res));`,
	"later.js": `module.exports = async (req, res) => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  const answers = await Promise.all([1, 2, 3].map(() => fetch(req.query.url, { method: 'POST', body: 'x' })));
  res.end(await answers[2].text());
}`,
	"array.js": `const http = require('node:http');
module.exports = (req, res) => {
  const { host } = new URL(req.query.url);
  http.get(req.query.url, { headers: ['Host', host, 'X-Lateen-Hops', 'none'] }, (answer) => answer.pipe(res));
}`,
	"edge.js": `export default async (request) => new Response(await (await fetch(new URL(request.url).searchParams.get('url'))).text())`,
	"wsgi.py": `import urllib.parse, urllib.request
def app(environ, start_response):
    url = urllib.parse.parse_qs(environ["QUERY_STRING"])["url"][0]
    body = urllib.request.urlopen(url).read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
`,
	"asgi.py": `import asyncio, urllib.parse, urllib.request
async def app(scope, receive, send):
    url = urllib.parse.parse_qs(scope["query_string"].decode())["url"][0]
    body = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
`,
}

func TestRequestsOfAFunctionCarryTheHopCount(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Lateen-Hops"))
	}))
	defer server.Close()
	r := newRigIn(t, egress.New(egress.Options{Host: []netip.AddrPort{netip.MustParseAddrPort(server.Listener.Addr().String())}}))
	if !r.host.Sandbox.Networks() {
		t.Skip("this host permits no network namespace")
	}
	tree := r.tree("askers", askers)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	target := "/?url=" + url.QueryEscape("http://app.localhost:"+port+"/")
	for name := range askers {
		t.Run(name, func(t *testing.T) {
			f := lateen.Function{Runtime: "nodejs24.x", Handler: name, Tree: tree, LauncherType: "Nodejs", AddHelpers: true}
			switch name {
			case "edge.js":
				f = lateen.Function{Runtime: "edge", Handler: name, Tree: tree}
			case "wsgi.py", "asgi.py":
				f = lateen.Function{Runtime: "python3.12", Handler: name, Tree: tree}
			}
			i, err := r.begin(t, f, nil)
			if errors.Is(err, lateen.ErrFunctionRuntime) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, hops := range []string{"1.aa", "4.bb", ""} {
				want := hops
				if name == "array.js" {
					want = "none" // the function writes the head itself, so the agent cannot add a field
				}
				req := to(t, http.MethodGet, target, nil)
				if hops != "" {
					req.Header.Set(guest.HeaderHops, hops)
				}
				if _, got := whole(t, i, req); got != want {
					t.Errorf("with hop header %q: got %q, want %q", hops, got, want)
				}
			}
		})
	}
}
