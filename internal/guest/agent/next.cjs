'use strict';
// The data caches of Next.js: the values of fetch, unstable_cache and 'use cache' are
// cached in this process, and the invalidations of revalidateTag and revalidatePath are
// sent to the platform, which caches the pages made of them.

const { ServerResponse } = require('node:http');
const control = require('./control.cjs');
const { current } = require('./call.cjs');

const INVALIDATED = 'x-lateen-invalidated'; // of a request: when anything of the deployment last was, Unix ms
const PURGE = 'x-lateen-purge'; // of a response: what is from now on, as a form
const MAX_BYTES = 50 << 20;
const MAX_TAGS = 10_000;
const OVERHEAD = 512; // bytes of an entry besides its body
const USE = 'use cache '; // begins the keys of what is not of fetch

const entries = new Map(); // key → { value, tags, at, size }, the longest unused first
const marks = new Map(); // tag → { at, expires }: invalidated by this process, Unix ms
let used = 0;

/** Next.js makes one for each request. */
class FetchCache {
  constructor({ _requestHeaders: headers, maxMemoryCacheSize } = {}) {
    this.since = Number(headers?.[INVALIDATED] ?? 0);
    this.limit = Math.min(maxMemoryCacheSize ?? MAX_BYTES, MAX_BYTES);
  }

  /** What is remembered, null if nothing; from the year 1970 if it is stale. */
  async get(key, { kind, tags = [], softTags = [] } = {}) {
    const found = kind === 'FETCH' && recall(key, this.since, [...tags, ...softTags]);
    return found ? { lastModified: found.stale ? 0 : found.entry.at, value: found.entry.value } : null;
  }

  /** Pages are the platform's to keep: only data is remembered here. */
  async set(key, value, { tags } = {}) {
    forget(key);
    if (value?.kind !== 'FETCH') return;
    const size = OVERHEAD + (value.data?.body?.length ?? 0);
    if (size > this.limit) return;
    remember(key, { value, tags: value.tags ?? tags ?? [], at: Date.now(), size }, this.limit);
  }

  /**
   * Invalidates what has one of tags: at once or, with durations, so that it
   * may be served stale for as long as they say.
   */
  async revalidateTag(tags, durations) {
    const list = [tags].flat();
    mark(list, durations);
    purge(list, durations ? durations.expire : 0);
  }

  resetRequestCache() {}
}

const sets = new Map(); // key → promise: what is being remembered

/**
 * What 'use cache' and 'use cache: remote' remember. An entry is the stream of a value
 * with its tags, when it was begun, and for how long it is fresh and may be served.
 */
const DataCache = {
  /** Stale entries have revalidate -1: Next.js makes them anew behind the response. */
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

  async refreshTags() {}, // each request says when something was last invalidated

  async getExpiration() {
    return Infinity; // get looks at soft tags
  },

  /** Next.js tells the cache of fetch as well, which tells the platform. */
  async updateTags(tags, durations) {
    mark(tags, durations);
  },

  /** The call of Next.js 15 instead: invalidates at once. */
  async expireTags(...tags) {
    mark(tags);
  },
};

/**
 * Remembers an entry that is being made. Next.js dates entries by the clock of
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

/** What is remembered, and whether it is stale, unless something was invalidated since. */
function recall(key, since, tags) {
  const entry = entries.get(key);
  // One from the future is from before the clock was set back, or not: nothing tells.
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

/** Notes that tags are invalid: at once or, with durations, after the seconds that they say; undefined is never. */
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

/** Tells the platform, before the response of the running call if that is still possible. */
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
 * A handler of req and res from one that takes metadata with a request: Next.js
 * gives a page that it has prerendered in part to a callback, and writes what each
 * request adds to it when it is asked to resume. Metadata is of one request alone.
 */
function withShells(handler) {
  return (req, res) => {
    const metadata = { // which Next.js completes: isRSCRequest is of a router's navigation, for data
      onCacheEntryV2: (entry) => sendShell(res, entry, metadata.isRSCRequest),
      onCacheEntry: (entry) => !metadata.isRSCRequest && sendShell(res, entry, false), // of documents only
    };
    return handler.getRequestHandlerWithMetadata(metadata)(req, res);
  };
}

/** Answers with a page as builds write it, its state before its shell; false if it waits for nothing. */
async function sendShell(res, { value, cacheControl }, data) {
  if (typeof value?.postponed !== 'string') return false;
  const shell = data ? '' : await value.html.toUnchunkedString(true); // every byte of data is the visitor's
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

/** A Cache-Control of seconds: revalidate is for how long a page is fresh, expire for how long it may be served. */
function lifetime({ revalidate, expire }) {
  if (revalidate === 0) return 'private, no-cache, no-store, max-age=0, must-revalidate';
  const fresh = typeof revalidate === 'number' ? revalidate : 31_536_000;
  return `s-maxage=${fresh}` + (expire > fresh ? `, stale-while-revalidate=${expire - fresh}` : '');
}

function install() {
  globalThis[Symbol.for('@next/cache-handlers')] = { FetchCache, DefaultCache: DataCache, RemoteCache: DataCache };
}

module.exports = { FetchCache, install, withShells };
