'use strict';
// Converts between Node's req and res and the web's Request and Response. Bodies
// stream in both directions, with backpressure.

const { Readable } = require('node:stream');
const { setImmediate, clearImmediate } = require('node:timers');
const { NoResponse } = require('./call.cjs');
const { isDecoded, decoderOf, isEncoded } = require('./decoded.cjs');

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'PATCH'];

/** Answers Requests with a function for each method. */
class WebHandler {
  /**
   * @param {object|Function} exported named methods, fetch, or a function for all
   * @param {{middleware: boolean}} options of middleware, no answer means "go on"
   */
  constructor(exported, { middleware }) {
    this.middleware = middleware;
    const all = typeof exported === 'function' && !exported.fetch ? exported : exported.fetch;
    this.methods = new Map();
    for (const name of METHODS) {
      const handler = typeof exported[name] === 'function' ? exported[name] : all;
      if (typeof handler === 'function') this.methods.set(name, handler.bind(exported));
    }
  }

  static fits(exported) {
    return METHODS.some((name) => typeof exported[name] === 'function') || typeof exported.fetch === 'function';
  }

  async handle(call, req, res) {
    const handler = this.methods.get(req.method);
    if (!handler) {
      res.statusCode = 405;
      res.end('Method Not Allowed');
      return;
    }
    const response = await handler(toRequest(call, req), { waitUntil: (promise) => call.waitUntil(promise) });
    if (response) await write(res, response);
    else if (this.middleware) await write(res, new Response(null, { headers: { 'x-middleware-next': '1' } }));
    else throw new NoResponse('the function did not return a Response');
  }
}

function toRequest(call, req) {
  const { headers, method, url } = req;
  const origin = `${headers['x-forwarded-proto'] || 'https'}://${headers['x-forwarded-host'] || headers.host || 'localhost'}`;
  const init = { method, headers, signal: call.abort.signal };
  if (method !== 'GET' && method !== 'HEAD' && hasBody(headers)) {
    init.body = stream(call, req);
    init.duplex = 'half';
  }
  return new Request(origin + url, init);
}

function hasBody(headers) {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0;
}

/**
 * Returns the body of req as a stream, which is read on demand: the HTTP server
 * discards an unread body. At the end of the response the rest is discarded too, for
 * the next request of the connection is behind it.
 */
function stream(call, req) {
  let begun = false;
  const begin = (controller) => {
    begun = true;
    req.on('data', (chunk) => {
      controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      if (!call.closed) req.pause();
    });
    req.on('end', () => controller.close());
    req.on('error', (error) => controller.error(error));
  };
  const source = {
    pull(controller) {
      if (!begun) begin(controller);
      req.resume();
    },
    cancel() {
      req.removeAllListeners().on('error', () => {}).resume();
    },
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}

// Header fields of a Response about the connection that it was fetched over (RFC 9110, section 7.6.1).
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding'];

/** Sends a Response, its head at the latest when its body makes the client wait. */
async function write(res, response) {
  const { body, headers, status } = response;
  if (!body) {
    const sized = status === 204 || status === 304 || res.req.method === 'HEAD'; // as the header may say
    const list = sized ? rawHeaders(headers) : [...rawHeaders(headers, ['content-length']), 'content-length', '0'];
    res.writeHead(status, response.statusText || undefined, list);
    res.end();
    return;
  }
  const reader = (typeof body.getReader === 'function' ? body : Readable.toWeb(Readable.from(body))).getReader();
  const cancel = () => reader.cancel().catch(() => {});
  res.once('close', cancel);
  const empty = res.req.method === 'HEAD';
  let decoded = isDecoded(body);
  const decoder = decoded || empty ? undefined : decoderOf(headers);
  const first = decoder && await reader.read();
  if (first?.value?.length > 0) decoded = !isEncoded(decoder, first.value);
  res.writeHead(status, response.statusText || undefined, rawHeaders(headers, decoded ? ['content-encoding', 'content-length'] : []));
  if (empty) {
    cancel();
    res.end();
    return;
  }
  await pump(reader, res, first);
}

/** Returns the headers as a flat list of names and values, without the dropped and the hop-by-hop fields. */
function rawHeaders(headers, dropped = []) {
  const list = [];
  for (const [name, value] of headers) {
    if (!HOP_BY_HOP.includes(name) && !dropped.includes(name)) list.push(name, value);
  }
  return list;
}

/** Sends the body, from first if that was read, and ends; data that is available at once is sent in one write, with the head. */
async function pump(reader, res, first) {
  res.cork(); // end undoes it, too
  const flush = setImmediate(() => {
    res.flushHeaders();
    res.uncork();
  });
  try {
    for (let next = first; ; next = undefined) {
      const { done, value } = next ?? await reader.read();
      if (done || res.destroyed) break;
      if (!res.write(value)) await writable(res);
    }
  } finally {
    clearImmediate(flush);
  }
  res.end();
}

function writable(res) {
  return new Promise((resolve) => {
    const settle = () => {
      res.off('drain', settle).off('close', settle);
      resolve();
    };
    res.on('drain', settle).on('close', settle);
  });
}

module.exports = { WebHandler };
