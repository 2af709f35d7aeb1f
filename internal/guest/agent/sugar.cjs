'use strict';
// The properties that @vercel/node gives to req and res: query, cookies and
// body, status, redirect, send and json.

const { Buffer } = require('node:buffer');
const { createHash } = require('node:crypto');
const querystring = require('node:querystring');
const { brotliDecompressSync, gunzipSync, inflateSync } = require('node:zlib');

const MAX_DECODED = 1 << 28; // bytes

class ApiError extends Error {
  constructor(statusCode, message) {
    super(message);
    this.statusCode = statusCode;
  }
}

/**
 * Adds the properties. req.body is synchronous, so this waits for a body that it can
 * parse. The body also stays in the stream, complete and unread.
 */
async function sweeten(req, res) {
  const type = mediaType(req.headers['content-type']);
  const body = PARSERS.has(type) ? await received(req) : undefined;
  lazy(req, 'cookies', () => parseCookies(req.headers.cookie));
  lazy(req, 'query', () => parseQuery(req.url));
  lazy(req, 'body', () => {
    const bytes = body && decoded(Buffer.concat(body), req.headers['content-encoding']);
    return bytes && PARSERS.get(type)(bytes);
  });
  res.status = (code) => {
    res.statusCode = code;
    return res;
  };
  res.redirect = (status, url) => redirect(res, status, url);
  res.send = (value) => send(req, res, value);
  res.json = (value) => json(req, res, value);
}

function mediaType(header = '') {
  return header.split(';', 1)[0].trim().toLowerCase();
}

function lazy(target, name, make) {
  const define = (value) => Object.defineProperty(target, name, { value, configurable: true, enumerable: true, writable: true });
  Object.defineProperty(target, name, {
    configurable: true,
    enumerable: true,
    get: () => define(make())[name],
    set: define,
  });
}

/**
 * Waits for the end of the body and returns its pieces. They are recorded as the
 * parser pushes them into the stream, which keeps them for its reader.
 */
function received(req) {
  const pieces = [];
  const { push } = req;
  return new Promise((resolve, reject) => {
    const gone = () => reject(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
    const see = (piece, encoding) => {
      if (piece !== null) pieces.push(piece);
      const more = push.call(req, piece, encoding);
      if (piece !== null) return true; // even if the stream is full: it has no reader yet
      delete req.push;
      req.off('close', gone);
      resolve(pieces);
      return more;
    };
    Object.defineProperty(req, 'push', { configurable: true, writable: true, value: see });
    req.once('close', gone);
  });
}

const CODINGS = { gzip: gunzipSync, 'x-gzip': gunzipSync, deflate: inflateSync, br: brotliDecompressSync };

/** A body without its coding; undefined if that is unknown. */
function decoded(body, coding = 'identity') {
  coding = coding.trim().toLowerCase();
  if (coding === 'identity' || body.length === 0) return body;
  if (!Object.hasOwn(CODINGS, coding)) return undefined;
  try {
    return CODINGS[coding](body, { maxOutputLength: MAX_DECODED });
  } catch {
    throw new ApiError(400, 'Invalid body');
  }
}

function parseCookies(header = '') {
  const cookies = new Map();
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=');
    if (at < 0) continue;
    const name = pair.slice(0, at).trim();
    const value = pair.slice(at + 1).trim().replace(/^"(.*)"$/, '$1');
    if (!cookies.has(name)) cookies.set(name, decode(value));
  }
  return Object.fromEntries(cookies);
}

function decode(value) {
  try {
    return value.includes('%') ? decodeURIComponent(value) : value;
  } catch {
    return value;
  }
}

function parseQuery(url = '/') {
  const query = new Map();
  for (const [name, value] of new URL(url, 'http://localhost').searchParams) {
    query.get(name)?.push(value) ?? query.set(name, [value]);
  }
  return Object.fromEntries([...query].map(([name, values]) => [name, values.length > 1 ? values : values[0]]));
}

// Functions from the bytes of a body to req.body, by media type.
const PARSERS = new Map([
  ['application/json', parseJSON],
  ['application/octet-stream', (body) => body],
  ['application/x-www-form-urlencoded', (body) => querystring.parse(body.toString())],
  ['text/plain', (body) => body.toString()],
]);

function parseJSON(body) {
  try {
    return body.length > 0 ? JSON.parse(body.toString()) : {};
  } catch {
    throw new ApiError(400, 'Invalid JSON');
  }
}

function redirect(res, status, url) {
  if (typeof status === 'string') [status, url] = [307, status];
  if (typeof status !== 'number' || typeof url !== 'string') {
    throw new Error("Invalid redirect arguments. Please use a single argument URL, e.g. res.redirect('/destination') " +
      "or use a status code and URL, e.g. res.redirect(307, '/destination').");
  }
  res.writeHead(status, { Location: url }).end();
  return res;
}

function json(req, res, value) {
  if (!res.getHeader('content-type')) res.setHeader('content-type', 'application/json; charset=utf-8');
  return send(req, res, JSON.stringify(value));
}

function send(req, res, value) {
  let type;
  if (value === null) value = '';
  else if (Buffer.isBuffer(value)) type = 'application/octet-stream';
  else if (['object', 'boolean', 'number'].includes(typeof value)) return json(req, res, value);
  else if (typeof value === 'string') type = 'text/html';
  else if (value !== undefined) {
    throw new Error('`body` is not a valid string, object, boolean, number, Stream, or Buffer');
  }
  if (type && !res.getHeader('content-type')) res.setHeader('content-type', type);
  if (value !== undefined) {
    if (typeof value === 'string') setUTF8(res);
    value = Buffer.from(value);
    res.setHeader('content-length', value.length);
    if (!res.getHeader('etag')) res.setHeader('etag', weakTag(value));
  }
  if (res.statusCode === 204 || res.statusCode === 304) {
    for (const name of ['content-type', 'content-length', 'transfer-encoding']) res.removeHeader(name);
    value = undefined;
  }
  res.end(req.method === 'HEAD' ? undefined : value);
  return res;
}

function setUTF8(res) {
  const type = res.getHeader('content-type');
  if (typeof type !== 'string') return;
  const parts = type.split(';').map((part) => part.trim()).filter((part) => part && !/^charset=/i.test(part));
  res.setHeader('content-type', [...parts, 'charset=utf-8'].join('; '));
}

/** A weak validator, as the etag package makes it. */
function weakTag(bytes) {
  const hash = createHash('sha1').update(bytes).digest('base64').slice(0, 27);
  return `W/"${bytes.length.toString(16)}-${hash}"`;
}

module.exports = { sweeten, ApiError };
