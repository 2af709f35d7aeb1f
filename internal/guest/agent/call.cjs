'use strict';
// A call is one request: it collects the request's console lines, and decides its end
// and the meaning of its failure. Code finds its call by asynchronous context.

const { AsyncLocalStorage } = require('node:async_hooks');
const { Buffer } = require('node:buffer');
const { EventEmitter } = require('node:events');
const { IncomingMessage, ServerResponse } = require('node:http');
const { setTimeout } = require('node:timers');
const { inspect } = require('node:util');
const control = require('./control.cjs');
const delay = require('./delay.cjs');
const { Length } = require('./length.cjs');

const PREFIX = 'x-vercel-internal-';
const MAX_SUMMARY = 4096; // characters
const CLEAN_UP = 2000; // ms that code may run after its client has disconnected
const LATE = 5; // ms that the end of a call may wait to be reported with others
const storage = new AsyncLocalStorage();
const live = new Set();
const atEnd = []; // functions that are called when a call ends
const ended = []; // numbers of ended calls that are not reported to the supervisor yet
const OWNER = Symbol('the call of a request or response');
const owners = new WeakMap(); // errors that listeners threw → the calls they ran for

// The property in which IncomingMessage stores the number of rawHeaders in use.
const headersCount = Object.getOwnPropertySymbols(new IncomingMessage(null))
  .find((symbol) => symbol.description === 'kHeadersCount');

class Call {
  /** For an upgraded connection, res is the socket. */
  constructor(req, res) {
    const internal = takeInternalHeaders(req);
    this.id = Number(internal['request-id'] ?? 0);
    this.invocation = internal['invocation-id'] ?? '';
    this.hops = internal.hops; // the hop count of its own requests, see hops.cjs
    this.operation = internal.operation; // from the supervisor to the agent; undefined for requests to user code
    this.req = req;
    this.res = res;
    this.abort = new AbortController();
    this.waiting = 0; // promises given to waitUntil
    this.waited = false; // waitUntil was called
    this.closed = false; // the response is complete, or its client has disconnected
    this.failed = false;
    this.context = undefined;
    this.length = res instanceof ServerResponse ? new Length(res) : undefined;
    bind(req, this);
    bind(res, this);
    live.add(this);
    delay.begin(isBusy);
    const { socket } = req;
    res.once('close', () => {
      if (!res.writableFinished) {
        if (!this.failed) this.waitUntil(new Promise((resolve) => setTimeout(resolve, CLEAN_UP).unref()));
        this.abort.abort();
      } else if (this.length) this.inspect(socket);
      this.close();
    });
  }

  /** Closes the connection if a response ended without a final status or without its declared length. */
  inspect(socket) {
    const { res, length } = this;
    const interim = res.statusCode < 200 && res.statusCode !== 101; // the supervisor waits for a final response (RFC 9110, section 15.2)
    const fault = interim ? `the response ended with the interim status ${res.statusCode}` : length.fault;
    if (!fault) return;
    complain(new Error(fault));
    if (length.cut && !interim) return; // the declared length has been sent
    this.error ??= { reason: interim ? 'no-response' : 'failed', message: fault };
    socket.destroy();
  }

  /** The reference to the call in messages. */
  get reference() {
    return { invocationId: this.invocation, requestId: this.id };
  }

  /** Keeps the call from ending until promise is settled. */
  waitUntil(promise) {
    if (typeof promise?.then !== 'function') {
      throw new TypeError(`waitUntil takes a promise, not ${inspect(promise, { depth: 0 })}`);
    }
    this.waited = true;
    this.waiting++;
    Promise.resolve(promise)
      .catch((error) => complain(error))
      .then(() => {
        this.waiting--;
        this.settle();
      });
  }

  /** Records that the response is complete or cut off. */
  close() {
    this.closed = true;
    if (!this.req.complete) this.req.resume(); // the next request is behind its body
    this.settle();
  }

  /** Ends the call once its response and the promises of waitUntil are complete. */
  settle() {
    if (!this.closed || this.waiting > 0 || !live.delete(this)) return;
    for (const onEnd of atEnd) onEnd(this);
    if (this.error || this.waited || !this.res.writableFinished) {
      control.send('end', { context: this.reference, error: this.error, delay: delay.take() });
    } else if (this.id !== 0 && ended.push(this.id) === 1) setTimeout(sendEnded, LATE);
  }

  /**
   * Fails the call, once: the platform answers in its place, or the response is
   * cut off at this point. A complete response stays as it is.
   */
  fail(error, reason = 'failed') {
    if (this.failed || this.res.writableEnded || !live.has(this)) return;
    this.failed = true;
    this.error = { reason, message: summary(error) };
    const { res } = this;
    if (res.headersSent || res.destroyed || !res.socket) {
      res.destroy();
      return;
    }
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    const body = Buffer.from(this.error.message);
    const { writeHead, end } = ServerResponse.prototype; // user code may have replaced those of res
    writeHead.call(res, 500, { 'content-length': body.length, [PREFIX + 'failure']: reason });
    end.call(res, body);
  }
}

const isBusy = () => live.size > 0;

/**
 * Reports the calls that were answered and have no pending work, many at once: a
 * write takes longer than a response, and wakes the supervisor up during the next.
 */
function sendEnded() {
  if (ended.length > 0) control.send('ended', { requests: ended.splice(0), delay: delay.take() });
}

/** The error of user code that ended without a response. */
class NoResponse extends Error {
  name = 'NoResponse';
}

/** Removes the platform's own fields from the headers that user code sees. */
function takeInternalHeaders(req) {
  const { headers, rawHeaders } = req;
  const taken = {};
  while (rawHeaders.length > 0 && rawHeaders.at(-2).startsWith(PREFIX)) {
    const value = rawHeaders.pop();
    const name = rawHeaders.pop();
    taken[name.slice(PREFIX.length)] = value;
    delete headers[name];
  }
  req[headersCount] = rawHeaders.length;
  return taken;
}

/**
 * Runs the listeners of a request or a response in the context of its call. The HTTP
 * parser and the socket emit events outside of any call. The method is set on the
 * prototypes: one for each object would make every request slower.
 */
function bind(emitter, call) {
  Object.defineProperty(emitter, OWNER, { configurable: true, value: call }); // not shown where user code logs the emitter
  const { emit } = emitter;
  if (emit !== emitForOwner) define(emitter, function () { return deliver(this, emit, arguments); });
}

function emitForOwner() {
  return deliver(this, EventEmitter.prototype.emit, arguments); // which user code may have replaced
}

function deliver(emitter, emit, args) {
  const call = emitter[OWNER];
  const [event] = args;
  if (call === undefined || current() === call || (event !== 'error' && emitter.listenerCount(event) === 0)) return emit.apply(emitter, args);
  return run(call, () => {
    try {
      return emit.apply(emitter, args);
    } catch (error) {
      if (Object(error) === error) owners.set(error, call);
      throw error;
    }
  });
}

/** Makes the prototypes of requests and responses emit for their calls. */
function install() {
  define(IncomingMessage.prototype, emitForOwner);
  define(ServerResponse.prototype, emitForOwner);
}

function define(object, emit) {
  Object.defineProperty(object, 'emit', { configurable: true, writable: true, value: emit });
}

/** The call that an uncaught error belongs to; undefined if that is unknown. */
function callOf(error) {
  return current() ?? owners.get(error);
}

/** Runs f for call: all work that it starts, at any later time, belongs to the call. */
function run(call, f) {
  return storage.run(call, f);
}

function current() {
  return storage.getStore();
}

/** Returns an error as a few lines, without its stack. */
function summary(error) {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : inspect(error, { depth: 1 });
    return text.slice(0, MAX_SUMMARY);
  } catch {
    return 'an error that cannot be shown';
  }
}

/** Writes an error to the output of the running code. */
function complain(error) {
  console.error(error);
}

module.exports = { install, Call, NoResponse, PREFIX, run, current, callOf, live, atEnd, sendEnded, summary, complain };
