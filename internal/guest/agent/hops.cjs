'use strict';
// The hop count of requests. Every request that a function sends has a header with
// the number of times that its chain of requests has passed through the platform, as
// the platform wrote it. The header goes to every host, because the platform may have
// any name. The platform reads it and ends request loops. Code that removes the
// header harms only itself.

const { subscribe } = require('node:diagnostics_channel');
const { current } = require('./call.cjs');

const HEADER = 'x-lateen-hops';

function install() {
  // Requests of node:http and node:https. Headers given as an array are already written.
  subscribe('http.client.request.created', ({ request }) => {
    const call = current();
    if (call?.hops && !request.headersSent) request.setHeader(HEADER, call.hops);
  });
  // Requests of fetch, and of every copy of undici.
  subscribe('undici:request:create', ({ request }) => {
    const call = current();
    if (call?.hops) request.addHeader?.(HEADER, call.hops);
  });
}

module.exports = { install };
