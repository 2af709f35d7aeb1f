package local

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// TestBun downloads Bun on its first run.
func TestBun(t *testing.T) {
	r := newRig(t)
	if _, err := r.o.Toolchain.Bun(t.Context()); err != nil {
		t.Fatal(err)
	}
	tree := r.tree("buns", map[string]string{
		"fetch.ts": `interface Told { bun: boolean }
export default { fetch: async (request: Request) => {
	const url = new URL(request.url);
	if (url.pathname === '/throw') throw new TypeError('thrown in the handler');
	console.log('line of ' + url.pathname);
	const told: Told = { bun: 'bun' in process.versions };
	return Response.json({ ...told, url: request.url, method: request.method, body: await request.text(), greeting: process.env.GREETING }, { status: 201 });
} };`,
		"methods.js": `export const GET = () => new Response('got');`,
		"node.js":    `module.exports = (req, res) => { if (req.url === '/throw') throw new TypeError('thrown in the handler'); res.end('node ' + req.url); };`,
		"serve.js":   `Bun.serve({ port: 1234, fetch: (request) => new Response('served ' + new URL(request.url).pathname) });`,
		"throws.js":  `throw new RangeError('thrown while loading');`,
		"nothing.js": `export const value = 1;`,
	})
	f := func(handler string) lateen.Function {
		return lateen.Function{Runtime: "bun1.x", Handler: handler, Tree: tree, LauncherType: "Nodejs"}
	}
	i := r.start(t, f("fetch.ts"), map[string]string{"GREETING": "hello"})
	resp, body := whole(t, i, to(t, http.MethodPost, "/a%20b?x=1", strings.NewReader("a body")))
	var got struct {
		URL, Method, Body, Greeting string
		Bun                         bool
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil { //nolint:musttag // names fit but for case
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusCreated || !got.Bun || got.URL != "https://example.com/a%20b?x=1" || got.Method != "POST" || got.Body != "a body" || got.Greeting != "hello" {
		t.Errorf("%s %+v", resp.Status, got)
	}
	r.awaitLine(t, i, "line of /a%20b")
	fails(t, i, "/throw", lateen.ErrFunctionFailed, "TypeError: thrown in the handler")
	rests(t, i)
	for handler, want := range map[string]string{"methods.js": "got", "node.js": "node /", "serve.js": "served /"} {
		if _, body := whole(t, r.start(t, f(handler), nil), to(t, http.MethodGet, "/", nil)); body != want {
			t.Errorf("%s: %q", handler, body)
		}
	}
	fails(t, r.start(t, f("node.js"), nil), "/throw", lateen.ErrFunctionFailed, "TypeError: thrown in the handler")
	for handler, text := range map[string]string{"throws.js": "thrown while loading", "nothing.js": "exports nothing", "none.js": "not among the function's files"} {
		if _, err := r.begin(t, f(handler), nil); !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", handler, err)
		}
	}
}
