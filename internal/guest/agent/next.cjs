'use strict';
// The data cache of Next.js: what its fetch and unstable_cache remember, kept
// in this process, and what its revalidateTag and revalidatePath invalidate,
// told to the platform, which keeps the pages made of it.

const { ServerResponse } = require('node:http');
const control = require('./control.cjs');
const { current } = require('./call.cjs');

const INVALIDATED = 'x-lateen-invalidated'; // of a request: when anything of the deployment last was, Unix ms
const PURGE = 'x-lateen-purge'; // of a response: what is from now on, as a form
const MAX_BYTES = 50 << 20;
const MAX_TAGS = 10_000;
const OVERHEAD = 512; // bytes of an entry besides its body

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
    const entry = kind === 'FETCH' ? entries.get(key) : undefined;
    // One from the future is from before the clock was set back, or not: nothing tells.
    if (!entry || entry.at <= this.since || entry.at > Date.now()) return null;
    let stale = false;
    for (const tag of [...entry.tags, ...tags, ...softTags]) {
      const mark = marks.get(tag);
      if (!mark || mark.at < entry.at) continue;
      if (mark.expires <= Date.now()) return null;
      stale = true;
    }
    entries.delete(key);
    entries.set(key, entry);
    return { lastModified: stale ? 0 : entry.at, value: entry.value };
  }

  /** Pages are the platform's to keep: only data is remembered here. */
  async set(key, value, { tags } = {}) {
    forget(key);
    if (value?.kind !== 'FETCH') return;
    const size = OVERHEAD + (value.data?.body?.length ?? 0);
    if (size > this.limit) return;
    entries.set(key, { value, tags: value.tags ?? tags ?? [], at: Date.now(), size });
    used += size;
    for (const oldest of entries.keys()) {
      if (used <= this.limit) break;
      forget(oldest);
    }
  }

  /**
   * Invalidates what has one of tags: at once or, with durations, so that it
   * may be served stale for as long as they say.
   */
  async revalidateTag(tags, durations) {
    const list = [tags].flat();
    const expire = durations ? durations.expire : 0; // seconds; undefined is never
    const at = Date.now();
    if (marks.size + list.length > MAX_TAGS) {
      for (const key of [...entries.keys()]) forget(key);
      marks.clear();
    }
    for (const tag of list) marks.set(tag, { at, expires: at + (expire ?? Infinity) * 1000 });
    purge(list, expire);
  }

  resetRequestCache() {}
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

function install() {
  globalThis[Symbol.for('@next/cache-handlers')] = { FetchCache };
}

module.exports = { install };
