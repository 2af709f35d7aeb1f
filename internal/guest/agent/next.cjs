'use strict';
// The data caches of Next.js: the values of fetch, unstable_cache and 'use cache' are
// cached in this process, and the invalidations of revalidateTag and revalidatePath are
// sent to the platform, which caches the pages made of them.

const { ServerResponse } = require('node:http');
const control = require('./control.cjs');
const { current } = require('./call.cjs');

const INVALIDATED = 'x-lateen-invalidated'; // request header: the time of the deployment's last invalidation, Unix ms
const PURGE = 'x-lateen-purge'; // response header: the tags to invalidate, as a form
const MAX_BYTES = 50 << 20;
const MAX_TAGS = 10_000;
const OVERHEAD = 512; // bytes of an entry besides its body
const USE = 'use cache '; // prefix of the keys of 'use cache' entries

const entries = new Map(); // key → { value, tags, at, size }, least recently used first
const marks = new Map(); // tag → { at, expires }: invalidated by this process, Unix ms
let used = 0;

/** The cache handler of Next.js, which creates one for each request. */
class FetchCache {
  constructor({ _requestHeaders: headers, maxMemoryCacheSize } = {}) {
    this.since = Number(headers?.[INVALIDATED] ?? 0);
    this.limit = Math.min(maxMemoryCacheSize ?? MAX_BYTES, MAX_BYTES);
  }

  /** Returns the cached value, null if there is none; a stale value is dated 1970. */
  async get(key, { kind, tags = [], softTags = [] } = {}) {
    const found = kind === 'FETCH' && recall(key, this.since, [...tags, ...softTags]);
    return found ? { lastModified: found.stale ? 0 : found.entry.at, value: found.entry.value } : null;
  }

  /** Stores data only: the platform caches pages. */
  async set(key, value, { tags } = {}) {
    forget(key);
    if (value?.kind !== 'FETCH') return;
    const size = OVERHEAD + (value.data?.body?.length ?? 0);
    if (size > this.limit) return;
    remember(key, { value, tags: value.tags ?? tags ?? [], at: Date.now(), size }, this.limit);
  }

  /**
   * Invalidates the entries that have one of tags: at once or, with durations, so
   * that they may be served stale for that long.
   */
  async revalidateTag(tags, durations) {
    const list = [tags].flat();
    mark(list, durations);
    purge(list, durations ? durations.expire : 0);
  }

  resetRequestCache() {}
}

const sets = new Map(); // key → promise: entries that are being stored

/**
 * The cache of 'use cache' and 'use cache: remote'. An entry is the stream of a value
 * with its tags, the time of its start, and the times for which it is fresh and may be served.
 */
const DataCache = {
  /** Stale entries have revalidate -1: Next.js regenerates them in the background. */
  async get(key, softTags = []) {
    await sets.get(key);
    const found = recall(USE + key, Number(current()?.req.headers[INVALIDATED] ?? 0), softTags);
    if (!found) return undefined;
    const { bytes, ...entry } = found.entry.value;
    if (Date.now() > entry.timestamp + entry.expire * 1000) return undefined;
    return { ...entry, revalidate: found.stale ? -1 : entry.revalidate, value: new Response(bytes).body };
  },

  async set(key, pending) {
    const set = store(key, pending, Date.now()).catch(() => {}); // the render that has it reports the error
    sets.set(key, set);
    await set;
    if (sets.get(key) === set) sets.delete(key);
  },

  async refreshTags() {}, // each request has the time of the last invalidation

  async getExpiration() {
    return Infinity; // get checks soft tags
  },

  /** Next.js calls FetchCache.revalidateTag as well, which informs the platform. */
  async updateTags(tags, durations) {
    mark(tags, durations);
  },

  /** Next.js 15 calls this instead: invalidates at once. */
  async expireTags(...tags) {
    mark(tags);
  },
};

/**
 * Stores an entry that is being generated. Next.js dates entries by the clock of
 * performance, which may be ahead of the clock that dates invalidations: an entry is
 * never newer than the call that sets it.
 */
async function store(key, pending, began) {
  const { value, ...entry } = await pending;
  const bytes = Buffer.from(await new Response(value).arrayBuffer());
  forget(USE + key);
  const size = OVERHEAD + bytes.length;
  if (entry.expire === 0 || size > MAX_BYTES) return;
  remember(USE + key, { value: { ...entry, bytes }, tags: entry.tags, at: Math.floor(Math.min(entry.timestamp, began)), size }, MAX_BYTES);
}

/** Returns the entry of a key and whether it is stale; undefined if it was invalidated. */
function recall(key, since, tags) {
  const entry = entries.get(key);
  // An entry dated in the future may be older than an invalidation: the clock was set back.
  if (!entry || entry.at <= since || entry.at > Date.now()) return undefined;
  let stale = false;
  for (const tag of [...entry.tags, ...tags]) {
    const invalidated = marks.get(tag);
    if (!invalidated || invalidated.at < entry.at) continue;
    if (invalidated.expires <= Date.now()) return undefined;
    stale = true;
  }
  entries.delete(key);
  entries.set(key, entry);
  return { entry, stale };
}

function remember(key, entry, limit) {
  entries.set(key, entry);
  used += entry.size;
  for (const oldest of entries.keys()) {
    if (used <= limit) break;
    forget(oldest);
  }
}

/** Records that tags are invalid: at once or, with durations, after that many seconds; undefined is never. */
function mark(tags, durations) {
  const expire = durations ? durations.expire : 0;
  const at = Date.now();
  if (marks.size + tags.length > MAX_TAGS) {
    for (const key of [...entries.keys()]) forget(key);
    marks.clear();
  }
  for (const tag of tags) marks.set(tag, { at, expires: at + (expire ?? Infinity) * 1000 });
}

function forget(key) {
  used -= entries.get(key)?.size ?? 0;
  entries.delete(key);
}

/** Sends an invalidation to the platform, before the response of the running call if that is still possible. */
function purge(tags, expire) {
  const res = current()?.res;
  if (!(res instanceof ServerResponse) || res.headersSent) {
    control.send('purge', { tags, expire });
    return;
  }
  const form = new URLSearchParams(tags.map((tag) => ['tag', tag]));
  if (expire !== undefined) form.set('expire', String(expire));
  ServerResponse.prototype.appendHeader.call(res, PURGE, form.toString());
}

const SHELL = 'application/x-nextjs-pre-render';

/**
 * Returns a handler of req and res for one that takes metadata with a request:
 * Next.js passes a partially prerendered page to a callback, and writes the dynamic
 * part of a request when it is asked to resume. Metadata belongs to one request.
 */
function withShells(handler) {
  return (req, res) => {
    const metadata = { // completed by Next.js: isRSCRequest is set if a router requests data
      onCacheEntryV2: (entry) => sendShell(res, entry, metadata.isRSCRequest),
      onCacheEntry: (entry) => !metadata.isRSCRequest && sendShell(res, entry, false), // for documents only
    };
    return handler.getRequestHandlerWithMetadata(metadata)(req, res);
  };
}

/** Answers with a page in the format of builds, its state before its static shell; returns false if it has no dynamic part. */
async function sendShell(res, { value, cacheControl }, data) {
  if (typeof value?.postponed !== 'string') return false;
  const shell = data ? '' : await value.html.toUnchunkedString(true); // data is specific to the request
  const state = Buffer.from(value.postponed);
  if (value.status && res.statusCode === 200) res.statusCode = value.status;
  for (const [name, field] of Object.entries(value.headers ?? {})) {
    if (field !== undefined) res.setHeader(name, typeof field === 'number' ? String(field) : field);
  }
  const origin = data ? 'text/x-component' : 'text/html; charset=utf-8';
  res.setHeader('Content-Type', `${SHELL}; state-length=${state.length}; origin="${origin}"`);
  res.setHeader('Cache-Control', lifetime(cacheControl ?? {}));
  res.end(Buffer.concat([state, Buffer.from(shell)]));
  return true;
}

/** Returns a Cache-Control value from seconds: a page is fresh for revalidate, and may be served for expire. */
function lifetime({ revalidate, expire }) {
  if (revalidate === 0) return 'private, no-cache, no-store, max-age=0, must-revalidate';
  const fresh = typeof revalidate === 'number' ? revalidate : 31_536_000;
  return `s-maxage=${fresh}` + (expire > fresh ? `, stale-while-revalidate=${expire - fresh}` : '');
}

function install() {
  globalThis[Symbol.for('@next/cache-handlers')] = { FetchCache, DefaultCache: DataCache, RemoteCache: DataCache };
}

module.exports = { FetchCache, install, withShells };
