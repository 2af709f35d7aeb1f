'use strict';
// The warm-up of a blank process: it loads the modules that functions use, uses the
// lazily created parts of the runtime, loads a function of its own and answers
// requests in every way that functions do. Code is compiled when it first runs, so
// the warm-up runs the same code as later requests.

const path = require('node:path');
const { AsyncLocalStorage } = require('node:async_hooks');
const process = require('node:process');
const { pathToFileURL } = require('node:url');
const { load } = require('./handler.cjs');
const { WebHandler } = require('./web.cjs');

const END = '/end-warm-up'; // the last request of the warm-up

const BUILTINS = ['assert', 'async_hooks', 'buffer', 'child_process', 'constants', 'crypto', 'diagnostics_channel',
  'dns', 'events', 'fs/promises', 'http', 'https', 'net', 'os', 'perf_hooks', 'querystring', 'readline', 'stream',
  'stream/promises', 'stream/web', 'string_decoder', 'timers/promises', 'tls', 'tty', 'url', 'util', 'v8', 'vm',
  'worker_threads', 'zlib'];

async function warm() {
  for (const name of BUILTINS) require('node:' + name);
  new AsyncLocalStorage().run({}, () => {});
  touchWeb();
  await import(pathToFileURL(path.join(__dirname, 'warm.mjs')).href);
}

/** Loads a function as an activation does, and returns its handler. */
async function loadExample() {
  const [, main] = process.argv;
  const cwd = process.cwd();
  Object.assign(process.env, { LATEEN_WARM: '' });
  delete process.env.LATEEN_WARM;
  process.chdir(__dirname);
  const handler = await load({ root: __dirname, handler: 'warm.js', helpers: true });
  process.chdir(cwd);
  process.argv[1] = main;
  return handler;
}

/** Uses the globals of the web API, most of which Node.js creates on first use. */
function touchWeb() {
  const url = new URL('http://warm/?a=b');
  url.searchParams.get('a');
  new Request(url, { method: 'POST', body: 'x', headers: { a: 'b' } }).text();
  Response.json({ a: 1 }).text();
  new Headers({ a: 'b' }).append('c', 'd');
  new FormData().set('a', new Blob(['x']));
  new TextDecoder().decode(new TextEncoder().encode('x'));
  new ReadableStream().pipeThrough(new TransformStream());
  new AbortController().abort();
  structuredClone({ a: 1 });
  crypto.randomUUID();
  void [fetch, crypto.subtle, WebSocket, performance.now(), queueMicrotask, setImmediate];
}

/** Answers the requests of the warm-up: POST as web functions do, others as (req, res). */
class WarmHandler {
  web = new WebHandler(async (request) => {
    new URL(request.url).searchParams.get('a');
    return new Response(await request.text(), { headers: { a: request.headers.get('host') } });
  }, { middleware: false });

  async handle(call, req, res) {
    if (req.url === END) return res.end();
    if (req.method === 'POST') return this.web.handle(call, req, res);
    this.node ??= loadExample();
    return (await this.node).handle(call, req, res);
  }
}

module.exports = { WarmHandler, END, warm };
