'use strict';
// Captures the server that user code starts while it loads. It does not listen:
// the agent passes the requests of this process to it.

const http = require('node:http');
const process = require('node:process');

const HOST = '127.0.0.1';
const PORT = 3000; // the port that captured servers report
const MAX_WAIT = 1000; // ms for a server to appear after its module was loaded

/** Captures the first http.Server that is told to listen, until it is released. */
class Listening {
  constructor() {
    this.server = undefined;
    this.found = new Promise((resolve) => (this.resolve = resolve));
    const listening = this;
    http.Server.prototype.listen = function (...args) {
      if (listening.server) return Object.getPrototypeOf(http.Server.prototype).listen.apply(this, args);
      listening.server = this;
      pretend(this, args);
      listening.resolve(this);
      return this;
    };
  }

  /** Waits up to MAX_WAIT for a captured server and returns it; undefined if there is none. */
  async wait() {
    let timer;
    const timeout = new Promise((resolve) => (timer = setTimeout(resolve, MAX_WAIT)));
    await Promise.race([this.found, timeout]);
    clearTimeout(timer);
    return this.server;
  }

  /**
   * Returns the server of a module's exports: one that listens already, or the one
   * that the exported object creates in its listen method, as frameworks do.
   */
  async serverOf(exported) {
    if (this.server || typeof exported.listen !== 'function') return this.wait();
    const failed = new Promise((_, reject) => (async () => exported.listen({ port: PORT, host: HOST }))().catch(reject));
    return Promise.race([failed, this.wait()]);
  }

  /** Ends the capture: servers listen on sockets again. */
  release() {
    delete http.Server.prototype.listen;
  }
}

/** Makes a server report that it listens on the address that it was given. */
function pretend(server, args) {
  const port = Number(typeof args[0] === 'object' ? args[0]?.port : args[0]) || PORT;
  const callback = args.findLast((arg) => typeof arg === 'function');
  if (callback) server.once('listening', callback);
  server.address = () => ({ address: HOST, family: 'IPv4', port });
  Object.defineProperty(server, 'listening', { value: true, configurable: true, writable: true });
  process.nextTick(() => server.emit('listening'));
}

module.exports = { Listening };
