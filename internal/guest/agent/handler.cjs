'use strict';
// Turns the exports of a module into a handler: an object with
// handle(call, req, res), whose promise is rejected if the call fails.

const { Buffer } = require('node:buffer');
const { existsSync, readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const http = require('node:http');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { EdgeHandler } = require('./edge.cjs');
const { LambdaHandler } = require('./lambda.cjs');
const { Listening } = require('./listen.cjs');
const { withShells } = require('./next.cjs');
const suspense = require('./suspense.cjs');
const { sweeten, ApiError } = require('./sugar.cjs');
const { WebHandler } = require('./web.cjs');

// Error codes of require for modules that only import can load.
const NEEDS_IMPORT = ['ERR_REQUIRE_ASYNC_MODULE', 'ERR_REQUIRE_CYCLE_MODULE', 'ERR_REQUIRE_ESM'];

/** Loads the function that spec describes and returns its handler. */
async function load(spec) {
  const entry = path.join(spec.root, spec.handler);
  if (!existsSync(entry)) throw new Error(`the entry file ${spec.handler} is not among the function's files`);
  if (spec.edge) return EdgeHandler.load(entry, spec);
  process.argv[1] = entry;
  const listening = new Listening();
  suspense.offer(path.basename(entry));
  try {
    const exported = await loadModule(entry, spec.root);
    if (spec.awsHandler) return new LambdaHandler(exported, spec.awsHandler);
    return await resolve(unwrap(exported), spec, listening);
  } finally {
    listening.release();
  }
}

/**
 * Loads a module. Most, including most ECMAScript modules, are cheaper to require.
 * A module that is known to be ECMAScript is imported, as is one that require refuses.
 */
async function loadModule(entry, root) {
  if (!isModule(entry, root)) {
    try {
      return createRequire(entry)(entry);
    } catch (error) {
      if (!NEEDS_IMPORT.includes(error?.code)) throw error;
    }
  }
  return import(pathToFileURL(entry).href);
}

/** Reports whether a file is known to be an ECMAScript module, by its name or by its package within the root. */
function isModule(entry, root) {
  if (entry.endsWith('.mjs')) return true;
  if (!entry.endsWith('.js')) return false;
  for (let dir = path.dirname(entry); ; dir = path.dirname(dir)) {
    const file = path.join(dir, 'package.json');
    if (existsSync(file)) return typeOf(file) === 'module';
    if (dir === root || dir === path.dirname(dir)) return false;
  }
}

function typeOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).type;
  } catch {
    return undefined;
  }
}

/** Returns the default export, which compilers may have nested. */
function unwrap(exported) {
  for (let i = 0; i < 5 && exported?.default; i++) exported = exported.default;
  return exported ?? {};
}

async function resolve(exported, spec, listening) {
  if (spec.webApi || WebHandler.fits(exported)) return new WebHandler(exported, spec);
  if (typeof exported.getRequestHandlerWithMetadata === 'function') return new NodeHandler(withShells(exported), false);
  if (typeof exported === 'function') {
    return new NodeHandler(exported, spec.helpers && typeof exported.listen !== 'function');
  }
  const server = exported instanceof http.Server ? exported : await listening.serverOf(exported);
  if (server) return new ServerHandler(server);
  throw new Error(`${spec.handler} exports nothing that answers requests: ` +
    'export a function, HTTP methods or fetch, or start an http.Server');
}

/** A function of req and res. */
class NodeHandler {
  constructor(listener, helpers) {
    this.listener = listener;
    this.helpers = helpers;
  }

  async handle(call, req, res) {
    try {
      if (this.helpers) await sweeten(req, res);
      const value = await this.listener(req, res);
      if (!res.headersSent && !res.writableEnded) mention(value);
    } catch (error) {
      if (!(error instanceof ApiError) || res.headersSent) throw error;
      res.statusCode = error.statusCode;
      res.end(error.message);
    }
  }
}

/**
 * Warns that a function has returned a value that looks like a response, which the
 * agent does not send. This is no failure, for the function may still answer. Streams
 * and the return values of handlers that answer later do not look like a response.
 */
function mention(value) {
  if (value === undefined || value === null) return;
  let name = typeof value;
  if (Buffer.isBuffer(value)) name = 'Buffer';
  else if (value instanceof Response) name = 'Response';
  else if (name === 'object') {
    if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return;
  } else if (name !== 'string' && name !== 'number') return;
  const article = name === 'object' ? 'an' : 'a';
  console.warn(`the function returned ${article} ${name} without answering: a function of (req, res) answers with ` +
    'res.end() or the like; one that returns a Response is exported as fetch, or by the name of a method');
}

/** A server that is called directly instead of listening. */
class ServerHandler {
  constructor(server) {
    this.server = server;
  }

  async handle(call, req, res) {
    this.server.emit('request', req, res);
  }

  /**
   * Calls f once the server has a listener for upgrades: without one, upgrades are
   * ordinary requests.
   */
  whenUpgradable(f) {
    if (this.server.listenerCount('upgrade') > 0) f();
    else {
      const look = (event) => {
        if (event !== 'upgrade') return;
        this.server.off('newListener', look);
        f();
      };
      this.server.on('newListener', look);
    }
  }

  upgrade(req, socket, head) {
    this.server.emit('upgrade', req, socket, head);
  }
}

module.exports = { load };
