'use strict';
// The properties that @vercel/node gives to req and res: query, cookies and
// body, status, redirect, send and json.

const { Buffer } = require('node:buffer');
const { createHash } = require('node:crypto');
const { PassThrough } = require('node:stream');
const querystring = require('node:querystring');

class ApiError extends Error {
  constructor(statusCode, message) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** Adds the properties. The body is read first if the request says it has one. */
async function sweeten(req, res) {
  const type = req.headers['content-type'];
  const body = type === undefined ? Buffer.alloc(0) : await takeBody(req);
  lazy(req, 'cookies', () => parseCookies(req.headers.cookie));
  lazy(req, 'query', () => parseQuery(req.url));
  lazy(req, 'body', () => parseBody(body, type));
  res.status = (code) => {
    res.statusCode = code;
    return res;
  };
  res.redirect = (status, url) => redirect(res, status, url);
  res.send = (value) => send(req, res, value);
  res.json = (value) => json(req, res, value);
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

/** Reads the body whole and lets those who read the request itself have it, too. */
async function takeBody(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const copy = new PassThrough();
  copy.end(body);
  const { on } = req;
  const listen = (name, listener) => {
    if (name !== 'data' && name !== 'end') return on.call(req, name, listener);
    copy.on(name, listener);
    return req;
  };
  Object.assign(req, { read: copy.read.bind(copy), on: listen, addListener: listen });
  return body;
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

function parseBody(body, header) {
  switch (header ? header.split(';', 1)[0].trim().toLowerCase() : 'text/plain') {
    case 'application/json':
      try {
        return body.length > 0 ? JSON.parse(body.toString()) : {};
      } catch {
        throw new ApiError(400, 'Invalid JSON');
      }
    case 'application/octet-stream':
      return body;
    case 'application/x-www-form-urlencoded':
      return querystring.parse(body.toString());
    case 'text/plain':
      return header ? body.toString() : undefined;
  }
  return undefined;
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
