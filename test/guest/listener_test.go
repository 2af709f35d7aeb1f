package guest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// listeners do their work in listeners of the request and the response.
const listeners = `const { get } = require('node:http');
const context = () => globalThis[Symbol.for('@vercel/request-context')]?.get?.();
module.exports = (req, res) => {
  const { searchParams, pathname } = new URL(req.url, 'http://x');
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    const body = Buffer.concat(chunks).toString();
    switch (searchParams.get('how')) {
      case 'parse': return res.end(String(JSON.parse(body).a));
      case 'primitive': throw 'a string';
      case 'reject': return Promise.reject(new Error('rejected in a listener'));
      case 'later': return setTimeout(() => { throw new Error('later'); }, 1);
      case 'log':
        console.log('line in a listener');
        context().waitUntil(new Promise((resolve) => setTimeout(resolve, 5)).then(() => console.log('line of background work')));
        return res.end(typeof context()?.waitUntil);
      default: return res.end('ok');
    }
  });
};
`

// A listener of a request runs outside of the asynchronous context in which user
// code added it, and its exceptions still belong to the request.
func TestAnErrorInAListenerOfARequestFailsThatRequestAtOnce(t *testing.T) {
	p := newPlatform(t)
	f := node()
	f.AddHelpers = false
	p.function("/fn", f, listeners)
	for _, how := range []string{"parse", "primitive", "reject", "later"} {
		resp, _ := p.send(http.MethodPost, "/fn?how="+how, "{not JSON")
		if code := resp.Header.Get("X-Vercel-Error"); resp.StatusCode != http.StatusInternalServerError || code != "FUNCTION_INVOCATION_FAILED" {
			t.Errorf("%s: %d %q, want 500 FUNCTION_INVOCATION_FAILED", how, resp.StatusCode, code)
		}
		if resp, body := p.send(http.MethodPost, "/fn", "x"); resp.StatusCode != http.StatusOK || body != "ok" {
			t.Errorf("after %s the next visitor gets %d %q", how, resp.StatusCode, body)
		}
	}
	if resp, body := p.send(http.MethodPost, "/fn?how=parse", `{"a":1}`); resp.StatusCode != http.StatusOK || body != "1" {
		t.Errorf("a good body: %d %q", resp.StatusCode, body)
	}
}

func TestAListenerOfARequestHasItsContext(t *testing.T) {
	p := newPlatform(t)
	f := node()
	f.AddHelpers = false
	p.function("/fn", f, listeners)
	resp, body := p.send(http.MethodPost, "/fn?how=log", "x")
	if body != "function" {
		t.Errorf("waitUntil is %q in a listener", body)
	}
	id := lateen.RequestID(resp.Header.Get("X-Vercel-Id")[strings.LastIndex(resp.Header.Get("X-Vercel-Id"), ":")+1:])
	for _, text := range []string{"line in a listener", "line of background work"} {
		if line := p.awaitLine(text); line.Request != id {
			t.Errorf("the line %q belongs to %q, want %q", text, line.Request, id)
		}
	}
}

func TestARequestShowsNothingOfThePlatformToTheCodeThatLogsIt(t *testing.T) {
	p := newPlatform(t)
	p.function("/log", node(), `import { inspect } from "node:util";
export default (req, res) => {
  const shown = (object) => [...Object.keys(object), ...Object.getOwnPropertySymbols(object).filter((s) => Object.prototype.propertyIsEnumerable.call(object, s)).map(String)];
  res.end([...shown(req), ...shown(res), inspect(req, { depth: 2 }), inspect(res, { depth: 2 })].join("\n"));
};
`)
	if resp, body := p.get("/log"); resp.StatusCode != http.StatusOK || strings.Contains(body, "Call {") || strings.Contains(body, "Length {") || strings.Contains(body, "the call of") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestListenersRunThroughAnEmitThatTheCodeReplaces(t *testing.T) {
	p := newPlatform(t)
	p.function("/emit", node(), `import { EventEmitter } from "node:events";
const { emit } = EventEmitter.prototype;
const seen = new Set(); // as node:domain and tracers do
EventEmitter.prototype.emit = function (event, ...args) { seen.add(event); return emit.call(this, event, ...args); };
export default (req, res) => {
  req.once("probe", () => res.end(String(seen.has("probe"))));
  req.emit("probe");
};
`)
	if resp, body := p.get("/emit"); resp.StatusCode != http.StatusOK || body != "true" {
		t.Errorf("%d %q, want what the replaced method has seen", resp.StatusCode, body)
	}
}
