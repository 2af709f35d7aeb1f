package guest_test

import (
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
)

// A page that fetches its own URL would wait for itself until its time is over.
func TestAPrerenderedPageThatFetchesItselfFailsAtOnce(t *testing.T) {
	p := newPlatform(t)
	if !p.networks {
		t.Skip("this host permits no network device")
	}
	const page = `async () => {
  const response = await fetch('http://app.localhost:PORT/page');
  return new Response('saw ' + response.status + ' ' + response.headers.get('x-vercel-error'));
}`
	p.function("/page", web(), "export const GET = "+p.withPort(page))
	p.manifest.Prerenders["/page"] = lateen.Prerender{BypassToken: "0123456789abcdef0123456789abcdef"}
	resp, body := p.get("/page")
	if resp.StatusCode != http.StatusOK || body != "saw 508 INFINITE_LOOP_DETECTED" {
		t.Errorf("got %s %q", resp.Status, body)
	}
}

// By way of a function that is not prerendered, too.
func TestAPrerenderedPageThatFetchesItselfThroughAnotherFunctionFailsAtOnce(t *testing.T) {
	p := newPlatform(t)
	if !p.networks {
		t.Skip("this host permits no network device")
	}
	p.function("/page", web(), p.withPort(`export const GET = async () => new Response(await (await fetch('http://app.localhost:PORT/between')).text());`))
	p.function("/between", node(), p.withPort(`module.exports = (req, res) => require('node:http').get('http://app.localhost:PORT/page', (answer) => {
  answer.resume();
  res.end('saw ' + answer.statusCode);
});`))
	p.manifest.Prerenders["/page"] = lateen.Prerender{BypassToken: "0123456789abcdef0123456789abcdef"}
	if resp, body := p.get("/page"); resp.StatusCode != http.StatusOK || body != "saw 508" {
		t.Errorf("got %s %q", resp.Status, body)
	}
}
