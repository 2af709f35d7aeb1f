'use strict';
// The protocol by which Next.js 14 reaches the data cache of its platform, answered in
// this process out of the cache that later versions call.

const { current } = require('./call.cjs');
const { FetchCache } = require('./next.cjs');

const LAUNCHER = '___next_launcher.cjs';
const HOST = 'suspense-cache.invalid';
const PREFIX = `https://${HOST}/v1/suspense-cache/`;
const REVALIDATE = 'revalidate?tags=';

/** Offers the protocol to the launcher of Next.js, which is about to be loaded. */
function offer(file) {
  if (file !== LAUNCHER || process.env.SUSPENSE_CACHE_URL) return;
  process.env.SUSPENSE_CACHE_URL = HOST;
  const { fetch } = globalThis;
  globalThis.fetch = (input, init) =>
    typeof input === 'string' && input.startsWith(PREFIX) ? answer(input.slice(PREFIX.length), init) : fetch(input, init);
}

/** Answers a request: to invalidate tags, to read a key, or to write one. */
async function answer(path, { method, headers, body }) {
  const cache = new FetchCache({ _requestHeaders: current()?.req.headers });
  const tags = list(headers['x-vercel-cache-tags']);
  if (path.startsWith(REVALIDATE)) {
    await cache.revalidateTag(path.slice(REVALIDATE.length).split(',').map(decodeURIComponent));
  } else if (method === 'POST') {
    await cache.set(path, JSON.parse(body), { tags });
  } else {
    const found = await cache.get(path, { kind: 'FETCH', tags, softTags: list(headers['x-next-cache-soft-tags']) });
    if (!found) return new Response(null, { status: 404 });
    const age = Math.floor((Date.now() - found.lastModified) / 1000);
    return Response.json(found.value, { headers: { 'x-vercel-cache-state': found.lastModified ? 'fresh' : 'stale', age: String(age) } });
  }
  return new Response();
}

const list = (names) => (names ? names.split(',') : []);

module.exports = { offer };
