'use strict';
// Functions call their own platform over https, as frameworks do, even if clients reach
// it over http: then the platform has certificates of its own, which this process trusts
// for hosts of the platform only.

const { subscribe } = require('node:diagnostics_channel');
const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');
const { current } = require('./call.cjs');

const FILE = path.join(__dirname, 'platform.json'); // { domain, certificate }: see guest.InstallNode
const OWN = ['ca', 'cert', 'key', 'pfx', 'secureContext']; // options by which code selects trusted certificates

let hooked = false;
let context; // trusts the platform besides the usual authorities; created on first use

/** Hooks the loading of the TLS module, which the first request that needs it causes. */
function install() {
  if (!existsSync(FILE)) return;
  subscribe('http.client.request.created', ({ request }) => {
    if (request.protocol === 'https:') hook();
  });
  subscribe('undici:request:create', ({ request }) => {
    if (String(request.origin).startsWith('https:')) hook();
  });
}

function hook() {
  if (hooked) return;
  hooked = true;
  const platform = JSON.parse(readFileSync(FILE, 'utf8'));
  const tls = require('node:tls');
  const { connect } = tls;
  tls.connect = function (options, ...rest) {
    if (Object(options) === options && !OWN.some((name) => options[name]) && isOf(platform.domain, options.servername || options.host)) {
      context ??= tls.createSecureContext({ ca: [...tls.getCACertificates('default'), platform.certificate] });
      options = { ...options, secureContext: context };
    }
    return connect.call(this, options, ...rest);
  };
}

/** Reports whether a host belongs to the platform's domain or is the host of the running call. */
function isOf(domain, host) {
  if (typeof host !== 'string') return false;
  const name = host.toLowerCase();
  return name.endsWith('.' + domain) || name === current()?.req.headers.host?.replace(/:\d+$/, '').toLowerCase();
}

module.exports = { install };
