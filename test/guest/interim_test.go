package guest_test

import (
	"net/http"
	"testing"
)

// A client waits for a final response after an interim one (RFC 9110, section 15.2).
func TestAResponseThatEndsWithAnInterimStatusIsNone(t *testing.T) {
	p := newPlatform(t)
	p.function("/fn", node(), `module.exports = (req, res) => {
  switch (req.query.how) {
    case 'head': res.writeHead(103, { link: '</a.css>; rel=preload' }); return res.end();
    case 'status': res.statusCode = 102; return res.end('body');
    case 'hints': res.writeEarlyHints({ link: '</a.css>; rel=preload' }); return res.end('final');
    case 'continue': res.writeContinue(); return res.end('final');
    default: return res.end('ok');
  }
};`)
	for _, how := range []string{"head", "status"} {
		resp, _ := p.get("/fn?how=" + how)
		if code := resp.Header.Get("X-Vercel-Error"); resp.StatusCode != http.StatusBadGateway || code != "NO_RESPONSE_FROM_FUNCTION" {
			t.Errorf("%s: %d %q, want 502 NO_RESPONSE_FROM_FUNCTION", how, resp.StatusCode, code)
		}
		if _, body := p.get("/fn"); body != "ok" {
			t.Errorf("after %s the next visitor gets %q", how, body)
		}
	}
	for _, how := range []string{"hints", "continue"} {
		if resp, body := p.get("/fn?how=" + how); resp.StatusCode != http.StatusOK || body != "final" {
			t.Errorf("%s and a final response: %d %q", how, resp.StatusCode, body)
		}
	}
}
