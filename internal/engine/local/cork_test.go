package local

import (
	"net/http"
	"strings"
	"testing"
)

// Node.js 22 writes the end of a chunked body before the pieces that cork holds
// back: the page lacks them, and they precede the next response on the connection.
func TestACorkedBodyIsWhole(t *testing.T) {
	const pieces = `
const pieces = ['<a>', '<b>', '<c>'];
`
	for name, source := range map[string]string{
		"a Response": pieces + `
exports.GET = () => new Response(new ReadableStream({
  start(controller) {
    for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
    controller.close();
  },
}));`,
		"res.cork": pieces + `
module.exports = (req, res) => {
  res.cork();
  for (const piece of pieces) res.write(piece);
  if (req.url === '/piece') res.end('<d>');
  else res.end();
};`,
	} {
		for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
			t.Run(name+" on "+runtime, func(t *testing.T) {
				t.Parallel()
				i := alone(t, runtime, source, nil)
				for range 3 { // on one connection
					for _, target := range []string{"/", "/piece"} {
						resp, body := ask(t, i, http.MethodGet, target, "")
						if resp.StatusCode != http.StatusOK || strings.TrimSuffix(body, "<d>") != "<a><b><c>" || name == "res.cork" && strings.HasSuffix(body, "<d>") != (target == "/piece") {
							t.Errorf("GET %s: %d %q", target, resp.StatusCode, body)
						}
					}
				}
			})
		}
	}
}
