package guest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// An edge function that throws fails as any other function does: with the error
// page of the deployment or of the platform, and a code that attributes the fault.
func TestAFailingEdgeFunctionIsAnsweredWithAnErrorPageAndItsCode(t *testing.T) {
	p := newPlatform(t)
	p.function("/throws", edgeFunction(), `export default async () => { throw new Error('secret text'); };`)
	p.function("/silent", edgeFunction(), `export default () => {};`)
	p.function("/rejects", edgeFunction(), `export default () => { Promise.reject(new Error('forgotten')); return new Promise(() => {}); };`)
	p.function("/broken", edgeFunction(), `throw new Error('while loading');`)
	for _, path := range []string{"/throws", "/silent", "/rejects", "/broken"} {
		resp, body := p.get(path, "Accept: text/html")
		if code := resp.Header.Get("X-Vercel-Error"); resp.StatusCode != http.StatusInternalServerError || code != "EDGE_FUNCTION_INVOCATION_FAILED" {
			t.Errorf("%s: %d %q, want 500 EDGE_FUNCTION_INVOCATION_FAILED", path, resp.StatusCode, code)
		}
		if !strings.Contains(body, "This edge function has crashed") || strings.Contains(body, "secret") {
			t.Errorf("%s: the page is %q", path, body)
		}
		if said := resp.Header.Get("X-Vercel-Failed"); said != "" {
			t.Errorf("%s: the visitor sees X-Vercel-Failed: %s", path, said)
		}
	}
}

func TestAFailingEdgeMiddlewareIsAnsweredWithAnErrorPageAndItsCode(t *testing.T) {
	p := newPlatform(t)
	p.function("/middleware", edgeFunction(), `export default () => { throw new Error('in the middleware'); };`)
	p.function("/page", node(), `module.exports = (req, res) => res.end('page');`)
	p.manifest.Routes = []lateen.Route{{Src: "^/page$", MiddlewarePath: "/middleware", Continue: true}}
	resp, body := p.get("/page", "Accept: text/html")
	if code := resp.Header.Get("X-Vercel-Error"); resp.StatusCode != http.StatusInternalServerError || code != "MIDDLEWARE_INVOCATION_FAILED" {
		t.Errorf("got %d %q, want 500 MIDDLEWARE_INVOCATION_FAILED", resp.StatusCode, code)
	}
	if !strings.Contains(body, "The site&#39;s middleware has crashed") || resp.Header.Get("X-Vercel-Failed") != "" {
		t.Errorf("the page is %q, its header %v", body, resp.Header)
	}
}

func TestAFailingEdgeFunctionIsAnsweredWithTheDeploymentsOwnErrorPage(t *testing.T) {
	p := newPlatform(t)
	p.function("/throws", edgeFunction(), `export default () => { throw new Error('no'); };`)
	p.function("/500", node(), `module.exports = (req, res) => res.end('our own page');`)
	p.manifest.Routes = []lateen.Route{{Handle: "error"}, {Src: "^/.*$", Status: 500, Dest: "/500"}}
	resp, body := p.get("/throws")
	if resp.StatusCode != http.StatusInternalServerError || body != "our own page" || resp.Header.Get("X-Vercel-Error") != "EDGE_FUNCTION_INVOCATION_FAILED" {
		t.Errorf("got %d %q %v", resp.StatusCode, body, resp.Header)
	}
}

func TestAnEdgeFunctionThatFailsInTheMiddleOfItsBodyBreaksTheResponse(t *testing.T) {
	p := newPlatform(t)
	p.function("/stream", edgeFunction(), `export default () => new Response(new ReadableStream({
  start(c) { c.enqueue(new TextEncoder().encode('begun')); setTimeout(() => c.error(new Error('broken')), 1); },
}));`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://app.localhost/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return // the response was broken off before its head
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); resp.StatusCode == http.StatusOK && err == nil {
		t.Errorf("a part was taken for the whole: %q", text)
	}
}
