'use strict';
// The request context: the value on the global object from which @vercel/functions
// and Next.js read the request that they run for.

const { AsyncLocalStorage } = require('node:async_hooks');
const { current } = require('./call.cjs');

/** Returns the context of a call, created on first use. */
function contextOf(call) {
  call.context ??= {
    waitUntil: (promise) => call.waitUntil(promise),
    url: call.req.url,
    headers: Object.fromEntries(Object.entries(call.req.headers).map(([name, value]) => [name, String(value)])),
  };
  return call.context;
}

function install() {
  define('@vercel/request-context', { get: () => current() && contextOf(current()) });

  // Launchers built into Next.js run requests in a storage of their own, which they
  // find under this symbol; code without one gets the context of the call.
  const storage = new AsyncLocalStorage();
  define('@next/request-context', {
    get: () => storage.getStore() ?? (current() && { waitUntil: contextOf(current()).waitUntil }),
    [Symbol.for('internal.storage')]: storage,
  });
}

function define(name, value) {
  Object.defineProperty(globalThis, Symbol.for(name), { value, configurable: true, writable: true });
}

module.exports = { install, contextOf };
