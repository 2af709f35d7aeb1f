'use strict';
// The data caches of Next.js: the values of fetch, unstable_cache and 'use cache' are
// stored by the platform for all instances of the deployment, and the invalidations of
// revalidateTag and revalidatePath are sent to it. While it does not answer, values are
// cached in this process.

const { ServerResponse } = require('node:http');
const control = require('./control.cjs');
const { current } = require('./call.cjs');
const platform = require('./data.cjs');

const INVALIDATED = 'x-lateen-invalidated'; // request header: the time of the deployment's last invalidation, Unix ms
const PURGE = 'x-lateen-purge'; // response header: the tags to invalidate, as a form
const MAX_BYTES = 50 << 20;
const MAX_TAGS = 10_000;
const OVERHEAD = 512; // bytes of an entry besides its body
const FETCH = 'fetch '; // prefix of the keys of fetch entries
const USE = 'use cache '; // prefix of the keys of 'use cache' entries
const FOREVER = 0xfffffffe; // seconds, as Next.js writes it

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
  async get(key, { kind, revalidate, tags = [], softTags = [] } = {}) {
    if (kind !== 'FETCH') return null;
    const stored = await platform.get(FETCH + key, [...tags, ...softTags]);
    if (stored) {
      const value = stored.status === 'miss' ? undefined : JSON.parse(stored.body.toString());
      const lastModified = stored.status === 'fresh' ? stored.meta.at : 0;
      if (isOver(lastModified, revalidate || value?.revalidate)) platform.begin(FETCH + key, stored);
      return value ? { lastModified, value } : null;
    }
    const found = recall(key, this.since, [...tags, ...softTags]);
    return found ? { lastModified: found.stale ? 0 : found.entry.at, value: found.entry.value } : null;
  }

  /** Stores data only: the platform caches pages. */
  async set(key, value, { tags } = {}) {
    forget(key);
    if (value?.kind !== 'FETCH') return;
    const at = Date.now();
    if (await platform.put(FETCH + key, Buffer.from(JSON.stringify(value)), { tags: value.tags ?? tags ?? [], meta: { at }, began: at })) return;
    const size = OVERHEAD + (value.data?.body?.length ?? 0);
    if (size > this.limit) return;
    remember(key, { value, tags: value.tags ?? tags ?? [], at, size }, this.limit);
  }

  /**
   * Invalidates the entries that have one of tags: at once or, with durations, so
   * that they may be served stale for that long.
   */
  async revalidateTag(tags, durations) {
    const list = [tags].flat();
    const expire = durations ? durations.expire : 0;
    mark(list, durations);
    const { id, done } = invalidate(list, expire);
    const res = headOf(current());
    const form = res && purgeBy(res, list, expire, id);
    if (await done) {
      if (form) removePurge(res, form);
    } else if (!form) control.send('purge', { tags: list, expire });
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
    const stored = await platform.get(USE + key, softTags);
    if (stored) {
      const entry = stored.status === 'miss' ? undefined : entryOf(stored.meta, stored.status === 'stale', stored.body);
      if (!entry || isOver(entry.timestamp, entry.revalidate)) platform.begin(USE + key, stored);
      return entry;
    }
    const found = recall(USE + key, Number(current()?.req.headers[INVALIDATED] ?? 0), softTags);
    if (!found) return undefined;
    const { bytes, ...entry } = found.entry.value;
    return entryOf(entry, found.stale, bytes);
  },

  /**
   * Resolves once the entry is collected, before it is stored: until then Next.js passes the
   * entry to other renders, even to those that begin after an invalidation of it.
   */
  async set(key, pending) {
    const collected = collect(pending);
    const set = store(key, collected, Date.now()).catch(() => {}); // the render that has it reports the error
    sets.set(key, set);
    set.then(() => sets.get(key) === set && sets.delete(key));
    current()?.waitUntil(set);
    await collected.catch(() => {});
  },

  async refreshTags() {}, // each get asks the platform

  async getExpiration() {
    return Infinity; // get checks soft tags
  },

  /** Next.js calls FetchCache.revalidateTag as well, which informs the platform. */
  async updateTags(tags, durations) {
    mark(tags, durations);
    await invalidate(tags, durations ? durations.expire : 0).done;
  },

  /** Next.js 15 calls this instead: invalidates at once. */
  async expireTags(...tags) {
    await DataCache.updateTags(tags);
  },
};

/** Whether Next.js computes a value again: the seconds since at, in ms, are over; without seconds, at is 0. */
const isOver = (at, seconds) => (typeof seconds === 'number' ? Date.now() > at + seconds * 1000 : at === 0);

/** An entry for Next.js, undefined once it has expired. */
function entryOf(entry, stale, bytes) {
  if (Date.now() > entry.timestamp + entry.expire * 1000) return undefined;
  return { ...entry, revalidate: stale ? -1 : entry.revalidate, value: new Response(bytes).body };
}

const sent = new Map(); // invalidations of this turn: Next.js passes each one to every cache

/**
 * Invalidates tags at the platform: done resolves to undefined if that is unavailable. id
 * names the invalidation for its copy in the header of the response, which may arrive first.
 */
function invalidate(tags, expire) {
  if (sent.size === 0) queueMicrotask(() => sent.clear());
  const name = JSON.stringify([tags, expire]);
  if (!sent.has(name)) {
    const call = current()?.req.headers['x-invocation-id']; // unique, unlike random numbers of this process after a fork
    const id = call && `${call} ${process.hrtime.bigint()}`;
    sent.set(name, { id, done: platform.invalidate(tags, expire, id) });
  }
  return sent.get(name);
}

/** An entry that is being generated, with its bytes in place of its stream. */
async function collect(pending) {
  const { value, ...entry } = await pending;
  return { entry, bytes: Buffer.from(await new Response(value).arrayBuffer()) };
}

/**
 * Stores an entry that is being collected. Next.js dates entries by the clock of
 * performance, which may be ahead of the clock that dates invalidations: an entry is
 * never newer than the call that sets it.
 */
async function store(key, collected, began) {
  const { entry, bytes } = await collected;
  forget(USE + key);
  if (entry.expire === 0) return;
  const meta = { ...entry, expire: Math.min(entry.expire, FOREVER) };
  if (await platform.put(USE + key, bytes, { tags: entry.tags, meta, usable: meta.expire, began: Math.min(entry.timestamp, began) })) return;
  const size = OVERHEAD + bytes.length;
  if (size > MAX_BYTES) return;
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

/** Returns the response of a call if its header can still carry an invalidation. */
function headOf(call) {
  const res = call?.res;
  return res instanceof ServerResponse && !res.headersSent ? res : undefined;
}

/** Adds an invalidation to the header of a response; returns the value of the field. */
function purgeBy(res, tags, expire, id) {
  const form = new URLSearchParams(tags.map((tag) => ['tag', tag]));
  if (expire !== undefined) form.set('expire', String(expire));
  if (id) form.set('id', id);
  ServerResponse.prototype.appendHeader.call(res, PURGE, form.toString());
  return form.toString();
}

/** Removes an invalidation that the platform has got from the header: a second one would invalidate later values. */
function removePurge(res, form) {
  if (res.headersSent) return;
  const forms = [res.getHeader(PURGE) ?? []].flat();
  const at = forms.indexOf(form);
  if (at >= 0) forms.splice(at, 1);
  if (forms.length > 0) ServerResponse.prototype.setHeader.call(res, PURGE, forms);
  else ServerResponse.prototype.removeHeader.call(res, PURGE);
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
