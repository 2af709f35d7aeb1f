package local

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
)

// listeners export a server and do not call listen.
var listeners = map[string]string{
	"object.js": `const http = require('node:http');
module.exports = { listen(...args) { return http.createServer((req, res) => res.end('object ' + req.url)).listen(...args); } };`,
	"class.mjs": `import http from 'node:http';
class Application {
  callback() { return (req, res) => res.end('class ' + req.url); }
  listen(...args) { return http.createServer(this.callback()).listen(...args); }
}
export default new Application();`,
	"promise.js": `const http = require('node:http');
exports.listen = async ({ port, host }) => {
  await null;
  const server = http.createServer((req, res) => res.end('promise ' + req.url));
  await new Promise((resolve) => server.listen(port, host, resolve));
};`,
	"twice.js": `const http = require('node:http');
const server = http.createServer((req, res) => res.end('once ' + req.url));
server.listen(3000);
module.exports = { listen() { throw new Error('it listens already'); } };`,
	"refuses.js": `exports.listen = async () => { throw new RangeError('it will not listen'); };`,
	"throws.js":  `exports.listen = () => { throw new RangeError('it cannot listen'); };`,
}

func TestExportedServersListen(t *testing.T) {
	r := newRig(t)
	tree := r.tree("listeners", listeners)
	f := func(handler string) lateen.Function {
		return lateen.Function{Runtime: "nodejs24.x", Handler: handler, Tree: tree, LauncherType: "Nodejs", AddHelpers: true}
	}
	for handler, want := range map[string]string{"object.js": "object /a", "class.mjs": "class /a", "promise.js": "promise /a", "twice.js": "once /a"} {
		if _, got := whole(t, r.start(t, f(handler), nil), to(t, http.MethodGet, "/a", nil)); got != want {
			t.Errorf("%s: %q, want %q", handler, got, want)
		}
	}
	for handler, want := range map[string]string{"refuses.js": "RangeError: it will not listen", "throws.js": "RangeError: it cannot listen"} {
		if _, err := r.begin(t, f(handler), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", handler, err, want)
		}
	}
}

// compiled are edge functions in the form of compilers' output, and packages with
// only the files that a tracer selects when it follows the conditions of bundlers.
var compiled = map[string]string{
	"default.js": `"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.config = void 0;
const dep = require("./lib");
exports.default = async function handler(request) { return new Response(dep.greet(new URL(request.url).pathname) + typeof module); };
exports.config = { runtime: 'edge' };`,
	"lib.js":     `exports.greet = (name) => 'hello ' + name + ' ';`,
	"methods.js": `exports.GET = () => new Response('got');`,
	"whole.js":   `module.exports = () => new Response('whole');`,
	"mixed.js":   `var umd = (function (exports) { exports.a = 1; return exports; })({}); export default () => new Response('mixed ' + umd.a + typeof module);`,
	"awaits.js":  `const exports_ = await Promise.resolve('awaited'); const text = 'module.exports = 1'; export const GET = () => new Response(exports_);`,
	"refused.js": `const fs = require('fs'); exports.default = () => new Response(String(fs));`,
	"imports.js": `import { name } from 'dep'; import { other } from 'dep/extra'; export default () => new Response(name + ' ' + other);`,
	"requires.js": `const { name } = require('dep');
exports.default = () => new Response(name);`,
	"lost.js":                                `import 'nowhere'; export default () => new Response('');`,
	"node_modules/dep/package.json":          `{"name":"dep","version":"1.0.0","main":"dist/dep.js","module":"dist/dep.module.js"}`,
	"node_modules/dep/dist/dep.module.js":    `import { inner } from './inner'; import { deep } from './deep'; export const name = 'module ' + inner + deep;`,
	"node_modules/dep/dist/inner.js":         `export const inner = 'inner';`,
	"node_modules/dep/dist/deep/index.mjs":   `export const deep = ' deep';`,
	"node_modules/dep/extra/package.json":    `{"main":"../none.js","module":"extra.module.js"}`,
	"node_modules/dep/extra/extra.module.js": `export const other = 'other';`,
}

func TestEdgeFunctionsAreLoadedAsCompilersWriteThem(t *testing.T) {
	r := newRig(t)
	tree := r.tree("compiled", compiled)
	f := func(handler string) lateen.Function {
		return lateen.Function{Runtime: "edge", Handler: handler, Tree: tree}
	}
	for handler, want := range map[string]string{
		"default.js": "hello /a object", "methods.js": "got", "whole.js": "whole", "mixed.js": "mixed 1undefined", "awaits.js": "awaited",
		"imports.js": "module inner deep other", "requires.js": "module inner deep",
	} {
		t.Run(handler, func(t *testing.T) {
			if _, got := whole(t, r.start(t, f(handler), nil), to(t, http.MethodGet, "/a", nil)); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	for handler, want := range map[string]string{"refused.js": "does not have the Node.js module 'fs'", "lost.js": "nowhere"} {
		if _, err := r.begin(t, f(handler), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", handler, err, want)
		}
	}
}

func TestFunctionsKnowTheirNameAndMemory(t *testing.T) {
	r := newRig(t)
	tree := r.tree("named", map[string]string{
		"env.js":  `module.exports = (req, res) => res.end(JSON.stringify(process.env));`,
		"edge.js": `export default () => Response.json(process.env);`,
		"app.py": `import json, os
def app(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(dict(os.environ)).encode()]
`,
	})
	own := map[string]string{"AWS_REGION": "eu-west-1", "VERCEL_REGION": "here"}
	for handler, c := range map[string]struct {
		runtime string
		env     map[string]string
		want    map[string]string
	}{
		"env.js": {"nodejs22.x", map[string]string{"VERCEL_REGION": "here"}, map[string]string{
			"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_NAME": "/named", "AWS_REGION": "here", "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x",
		}},
		"edge.js": {"edge", own, map[string]string{"AWS_REGION": "eu-west-1"}},
		"app.py":  {"python3.13", own, map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_NAME": "/named", "AWS_REGION": "eu-west-1", "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"}},
	} {
		t.Run(handler, func(t *testing.T) {
			if handler == "app.py" && len(r.pythons) == 0 {
				t.Skip("there is no Python on this host: scripts/setup.sh installs one")
			}
			_, body := whole(t, r.start(t, lateen.Function{Runtime: c.runtime, Handler: handler, Tree: tree, Memory: 512}, c.env), to(t, http.MethodGet, "/", nil))
			var all, got map[string]string
			if err := json.Unmarshal([]byte(body), &all); err != nil {
				t.Fatal(err)
			}
			got = map[string]string{}
			for name, value := range all {
				if strings.HasPrefix(name, "AWS_") {
					got[name] = value
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the environment (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheRuntimeIsOnThePath(t *testing.T) {
	r := newRig(t)
	tree := r.tree("spawns", map[string]string{"spawns.js": `const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
module.exports = (req, res) => {
  const script = process.env.TMPDIR + '/script';
  fs.writeFileSync(script, '#!/usr/bin/env node\nconsole.log("script " + process.version)', { mode: 0o755 });
  const { stdout, error } = spawnSync('node', ['-p', 'process.version']);
  res.end([process.version, error?.code ?? String(stdout).trim(), String(execFileSync(script)).trim()].join());
};`})
	for _, major := range []int{22, 24} {
		f := lateen.Function{Runtime: fmt.Sprintf("nodejs%d.x", major), Handler: "spawns.js", Tree: tree, LauncherType: "Nodejs"}
		_, got := whole(t, r.start(t, f, nil), to(t, http.MethodGet, "/", nil))
		version, _, _ := strings.Cut(got, ",")
		if want := version + "," + version + ",script " + version; got != want || !strings.HasPrefix(got, fmt.Sprintf("v%d.", major)) {
			t.Errorf("Node.js %d: %q", major, got)
		}
	}
}

func TestTrailerFieldsReachAFunction(t *testing.T) {
	r := newRig(t)
	tree := r.tree("trailers", map[string]string{
		"trailers.js": `module.exports = async (req, res) => {
  let whole = '';
  for await (const chunk of req) whole += chunk;
  res.end(JSON.stringify([whole, req.headers.trailer, req.trailers]));
};`,
		"asgi.py": `async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
`,
		"wsgi.py": `def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]
`,
	})
	for handler, c := range map[string]struct{ runtime, want string }{
		"trailers.js": {"nodejs24.x", `["body","X-Sum",{"x-sum":"1"}]`},
		"asgi.py":     {"python3", "body"},
		"wsgi.py":     {"python3", "body"},
	} {
		t.Run(handler, func(t *testing.T) {
			if c.runtime == "python3" && len(r.pythons) == 0 {
				t.Skip("there is no Python on this host: scripts/setup.sh installs one")
			}
			i := r.start(t, lateen.Function{Runtime: c.runtime, Handler: handler, Tree: tree, LauncherType: "Nodejs", AddHelpers: true}, nil)
			for range 3 { // on one connection
				req := to(t, http.MethodPost, "/", http.NoBody)
				req.ContentLength, req.Trailer = -1, http.Header{"X-Sum": {"1"}}
				req.Body = io.NopCloser(io.MultiReader(strings.NewReader("bo"), strings.NewReader("dy")))
				req.Header.Set("Content-Type", "application/octet-stream")
				if _, got := whole(t, i, req); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestAReturnedResponseIsLoggedAsAMistake(t *testing.T) {
	r := newRig(t)
	tree := r.tree("returns", map[string]string{"returns.js": `let release;
const values = {
  response: () => new Response('x'), text: () => 'x', object: () => ({ a: 1 }), buffer: () => Buffer.from('x'),
  nothing: () => undefined, flag: () => true, itself: (res) => res, stream: () => process.stdout,
};
module.exports = async (req, res) => {
  const { way } = req.query;
  if (way === 'release') { release(); return res.end(); }
  console.log('called for ' + way);
  release = () => res.end('answered ' + way);
  return values[way](res);
};`})
	f := lateen.Function{Runtime: "nodejs24.x", Handler: "returns.js", Tree: tree, LauncherType: "Nodejs", AddHelpers: true}
	i := r.start(t, f, nil)
	told := 0
	for way, want := range map[string]string{
		"response": "returned a Response", "text": "returned a string", "object": "returned an object", "buffer": "returned a Buffer",
		"nothing": "", "flag": "", "itself": "", "stream": "",
	} {
		t.Run(way, func(t *testing.T) {
			done := make(chan string, 1)
			go func() {
				_, body := whole(t, i, to(t, http.MethodGet, "/?way="+way, nil))
				done <- body
			}()
			r.awaitLine(t, i, "called for "+way)
			if want != "" {
				r.awaitLine(t, i, want+" without answering")
			}
			whole(t, i, to(t, http.MethodGet, "/?way=release", nil))
			if got := <-done; got != "answered "+way {
				t.Errorf("late response: %q", got)
			}
			if n := strings.Count(fmt.Sprint(r.logs.Lines()), "without answering"); want == "" && n != told {
				t.Errorf("%d log lines report a missing response, want %d", n, told)
			}
			if want != "" {
				told++
			}
		})
	}
}
