'use strict';
// The request context: what @vercel/functions and Next.js read from the global
// object to reach the request they run for.

const { AsyncLocalStorage } = require('node:async_hooks');
const { current } = require('./call.cjs');

/** The context of a call, made when first asked for. */
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

  // Launchers that Next.js was built with run requests in a storage of their
  // own, which they look for under this symbol; code without one gets the call's.
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
