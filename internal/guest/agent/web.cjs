'use strict';
// Between Node.js's req and res and the web's Request and Response. Bodies
// stream both ways, each side at the pace of the other.

const { Readable } = require('node:stream');
const { setImmediate, clearImmediate } = require('node:timers');
const { NoResponse } = require('./call.cjs');
const { isDecoded, decoderOf, isEncoded } = require('./decoded.cjs');

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'PATCH'];

/** A function that answers Requests, with a handler for each method. */
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
 * The body of req. It is touched only when read: one that nobody wants is
 * dropped by the HTTP server. What is left when the response is through no
 * longer waits for its reader, for the next request is behind it.
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

// What a Response says of the connection that it was fetched over, and not of this one (RFC 9110, section 7.6.1).
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding'];

/** Sends a Response, its head at the latest when its body keeps one waiting. */
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

/** The headers as a list of names and values in turn, without some and those of the connection. */
function rawHeaders(headers, dropped = []) {
  const list = [];
  for (const [name, value] of headers) {
    if (!HOP_BY_HOP.includes(name) && !dropped.includes(name)) list.push(name, value);
  }
  return list;
}

/** Passes the body on from its first piece, if that was read, and ends; what is there at once leaves in one write, with the head. */
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
