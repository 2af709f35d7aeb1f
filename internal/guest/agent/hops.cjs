'use strict';
// How far a request has come. Every request that a function makes says in a
// header how often what led to it has passed through the platform, in the
// platform's own words, wherever it goes: the platform may have any name. There
// it is read, and what runs in a circle ends. Code that hides it harms itself alone.

const { subscribe } = require('node:diagnostics_channel');
const { current } = require('./call.cjs');

const HEADER = 'x-lateen-hops';

function install() {
  // Of node:http and node:https. A head that was given as an array has been written.
  subscribe('http.client.request.created', ({ request }) => {
    const call = current();
    if (call?.hops && !request.headersSent) request.setHeader(HEADER, call.hops);
  });
  // Of fetch, and of undici wherever it comes from.
  subscribe('undici:request:create', ({ request }) => {
    const call = current();
    if (call?.hops) request.addHeader?.(HEADER, call.hops);
  });
}

module.exports = { install };
