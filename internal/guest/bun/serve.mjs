// Runs a function in Bun as the server on $PORT that the relay waits for: the
// program is `bun serve.mjs ENTRY`.
//
// A function has the same form as in Node.js: methods, fetch, or a default export that
// takes a Request or (req, res); or it calls Bun.serve or listens itself.

import { pathToFileURL } from 'node:url';
import decoded from './decoded.cjs';

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'PATCH'];
const port = Number(process.env.PORT);
const entry = process.argv[2];
const own = Bun.serve;

decoded.install();

let listens = false; // on $PORT: later servers get the port that the function gave
Bun.serve = (options) => {
  if (listens) return own.call(Bun, options);
  listens = true;
  const { fetch: answer } = options;
  const fetch = answer && async function (...args) {
    return asItIs(await answer.apply(this, args));
  };
  return own.call(Bun, { ...options, fetch, port, hostname: '127.0.0.1', unix: undefined });
};

/** A response without the coding and the length that its body had before fetch decoded it. */
async function asItIs(response) {
  // Reading body makes it a stream, and Bun then forgets its media type.
  if (!(response instanceof Response) || !response.headers.has('content-encoding') || !response.body) return response;
  let { body } = response;
  let plain = decoded.isDecoded(body);
  const decoder = plain ? undefined : decoded.decoderOf(response.headers);
  if (!plain && !decoder) return response;
  if (decoder) {
    const [look, rest] = body.tee();
    const reader = look.getReader();
    const { value } = await reader.read();
    reader.cancel().catch(() => {});
    plain = value?.length > 0 && !decoded.isEncoded(decoder, value);
    body = rest;
  }
  const headers = new Headers(response.headers);
  if (plain) for (const name of ['content-encoding', 'content-length']) headers.delete(name);
  return new Response(body, { status: response.status, statusText: response.statusText, headers });
}

function unwrap(exported) {
  for (let i = 0; i < 5 && exported?.default; i++) exported = exported.default;
  return exported ?? {};
}

/** The URL that the client asked for. */
function public_(request) {
  const { headers } = request;
  const url = new URL(request.url);
  const host = headers.get('x-forwarded-host') ?? headers.get('host');
  if (host) url.host = host;
  url.protocol = headers.get('x-forwarded-proto') ?? 'http';
  if (!/:\d+$/.test(host ?? '')) url.port = '';
  return new Request(url.href, request);
}

function web(exported) {
  const named = METHODS.some((name) => typeof exported[name] === 'function');
  const direct = typeof exported === 'function' ? exported : undefined;
  const context = { waitUntil: (promise) => void Promise.resolve(promise).catch((error) => console.error(error)) };
  return async (request) => {
    const method = METHODS.includes(request.method) ? exported[request.method] : undefined; // others may name any property
    const handler = method ?? exported.fetch ?? (named ? undefined : direct);
    if (!handler) return new Response(null, { status: 405 });
    const response = await handler.call(exported, public_(request), context);
    if (!(response instanceof Response)) throw new Error('the function did not return a Response');
    return asItIs(response);
  };
}

async function serve() {
  const exported = unwrap(await import(pathToFileURL(entry).href));
  if (listens) return;
  const isWeb = typeof exported.fetch === 'function' || METHODS.some((name) => typeof exported[name] === 'function') ||
    (typeof exported === 'function' && exported.length < 2);
  if (isWeb) {
    listens = true;
    own.call(Bun, {
      port, hostname: '127.0.0.1', idleTimeout: 0, maxRequestBodySize: Number.MAX_SAFE_INTEGER, fetch: web(exported),
      error(error) {
        console.error(error);
        return new Response(String(error), { status: 500, headers: { 'x-vercel-internal-failure': 'failed' } });
      },
    });
    return;
  }
  if (typeof exported !== 'function') {
    throw new Error('the function exports nothing that answers requests: export a function, HTTP methods or fetch, or call Bun.serve');
  }
  const { createServer } = await import('node:http');
  createServer(async (req, res) => {
    try {
      await exported(req, res);
    } catch (error) {
      console.error(error);
      if (res.headersSent) return res.destroy();
      res.writeHead(500, { 'x-vercel-internal-failure': 'failed' });
      res.end(String(error));
    }
  }).listen(port, '127.0.0.1');
}

await serve();
