//go:build e2e

package e2e_test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// asks are functions that request the URL in their query, or their own, and return
// the result and their depth.
var asks = map[string]string{
	"fetch": `const ask = async (url) => { const r = await fetch(url); return [r.status, r.headers.get('x-vercel-error'), await r.text()]; };`,
	"http": `const http = require('node:http');
const ask = (url) => new Promise((resolve, reject) => http.get(url, (r) => {
  let text = '';
  r.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => resolve([r.statusCode, r.headers['x-vercel-error'], text]));
}).on('error', reject));`,
}

const answers = `
module.exports = async (req, res) => {
  const [status, code, text] = await ask(req.query.url ?? 'http://' + req.headers.host + req.url);
  const inner = status === 200 ? JSON.parse(text) : { depth: 0, status, code };
  res.json({ ...inner, depth: inner.depth + 1 });
};
`

func TestRequestLoopsOfFunctionsEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=1")
	files := func() map[string]string {
		files := map[string]string{
			"functions/edge.func/.vc-config.json": `{"runtime":"edge","entrypoint":"index.js"}`,
			"functions/edge.func/index.js": `export default async (request) => {
  const url = new URL(request.url);
  const response = await fetch('http://' + request.headers.get('host') + url.pathname);
  const inner = response.ok ? await response.json() : { depth: 0, status: response.status, code: response.headers.get('x-vercel-error') };
  return Response.json({ ...inner, depth: inner.depth + 1 });
};`,
		}
		for name, ask := range asks {
			files["functions/"+name+".func/.vc-config.json"] = `{"runtime":"nodejs24.x","handler":"index.js","launcherType":"Nodejs","shouldAddHelpers":true}`
			files["functions/"+name+".func/index.js"] = ask + answers
		}
		return files
	}
	deploy := func(name string) site {
		dir := filepath.Join(t.TempDir(), name)
		output(t, dir, files())
		return lateenCLI(t, p, dir).deploy("deploy", "--yes")
	}
	one, other := deploy("one"), deploy("other")
	type end struct {
		Depth  int    `json:"depth"`
		Status int    `json:"status"`
		Code   string `json:"code"`
	}
	want := end{Depth: 8, Status: 508, Code: "INFINITE_LOOP_DETECTED"}
	there := fmt.Sprintf("http://%s:%d/http", other.host, p.port)
	for name, path := range map[string]string{
		"fetch": "/fetch", "node:http": "/http", "an edge function": "/edge", "another project": "/fetch?url=" + there,
	} {
		t.Run(name, func(t *testing.T) {
			if got := decode[end](t, one.get(t, path)); got != want {
				t.Errorf("it ended with %+v, want %+v", got, want)
			}
		})
	}
	if got := decode[end](t, one.get(t, "/fetch", withHeader("X-Lateen-Hops", "7"))); got != want {
		t.Errorf("for a visitor who claims to have come seven times it ended with %+v, want %+v", got, want)
	}
}
