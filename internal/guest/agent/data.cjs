'use strict';
// The channel to the data cache of the platform. It is a connection that the supervisor
// opens when it is asked to, and carries frames: the length of a head and that of a
// body, of 32 bits each, the head in JSON, and the body. This process sends requests.

const { Buffer } = require('node:buffer');
const { createHash } = require('node:crypto');
const { clearTimeout, setTimeout } = require('node:timers');
const control = require('./control.cjs');
const { current } = require('./call.cjs');

const PREFIX = 8;
const MAX_HEAD = 256 << 10;
const MAX_BODY = 2 << 20;
const CONNECT = 2000; // ms for the supervisor to connect
const ANSWER = 5000; // ms for it to answer
const PAUSE = 5000; // ms until it is asked again after it did not connect

let channel; // the connection, undefined while there is none
let connecting; // promise of a connection, or of undefined
let connect; // resolves connecting
let last = 0; // ID of the last request
let pausing = 0; // ms of performance until which nothing is asked for

/** A connection of the supervisor, whose requests were read as those of HTTP. */
class Channel {
  constructor(socket, head) {
    this.socket = socket;
    this.waits = new Map(); // ID → resolve
    this.chunks = head.length > 0 ? [head] : [];
    this.size = head.length;
    this.used = false; // something was answered
    this.next = undefined; // lengths of the frame that is being read
    socket.setNoDelay(true);
    socket.unref();
    socket.on('data', (chunk) => this.read(chunk));
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy()); // the other half would stay open
    socket.on('close', () => this.end());
    socket.resume();
  }

  request(head, body) {
    if (this.socket.destroyed) return undefined;
    const id = ++last;
    const text = Buffer.from(JSON.stringify({ id, ...head }));
    if (text.length > MAX_HEAD || (body?.length ?? 0) > MAX_BODY) return { status: 'refused' };
    const lengths = Buffer.allocUnsafe(PREFIX);
    lengths.writeUInt32BE(text.length, 0);
    lengths.writeUInt32BE(body?.length ?? 0, 4);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.answer(id, undefined), ANSWER).unref();
      this.waits.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.socket.cork();
      this.socket.write(lengths);
      this.socket.write(text);
      if (body?.length > 0) this.socket.write(body);
      this.socket.uncork();
    });
  }

  answer(id, answer) {
    const resolve = this.waits.get(id);
    this.waits.delete(id);
    resolve?.(answer);
  }

  read(chunk) {
    this.chunks.push(chunk);
    this.size += chunk.length;
    for (;;) {
      if (!this.next) {
        if (this.size < PREFIX) return;
        const lengths = this.take(PREFIX);
        this.next = { head: lengths.readUInt32BE(0), body: lengths.readUInt32BE(4) };
      }
      const { head, body } = this.next;
      if (this.size < head + body) return;
      const frame = this.take(head + body);
      this.next = undefined;
      this.used = true;
      const answer = JSON.parse(frame.toString('utf8', 0, head));
      this.answer(answer.id, answer.status === 'unavailable' ? undefined : { ...answer, body: frame.subarray(head) });
    }
  }

  /** The next n bytes that have arrived. */
  take(n) {
    const all = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks, this.size);
    this.chunks = n < all.length ? [all.subarray(n)] : [];
    this.size -= n;
    return all.subarray(0, n);
  }

  end() {
    if (channel === this) {
      channel = undefined;
      if (!this.used) pausing = performance.now() + PAUSE; // there is no data cache
    }
    for (const id of [...this.waits.keys()]) this.answer(id, undefined);
  }
}

/** Takes a connection of the supervisor. */
function connected(socket, head) {
  channel?.socket.destroy();
  channel = new Channel(socket, head);
  connect?.(channel);
}

/** The channel; undefined if the supervisor does not connect. */
async function open() {
  if (channel) return channel;
  if (performance.now() < pausing) return undefined;
  connecting ??= new Promise((resolve) => {
    const timer = setTimeout(() => {
      pausing = performance.now() + PAUSE;
      settle(undefined);
    }, CONNECT).unref();
    const settle = (opened) => {
      clearTimeout(timer);
      connecting = connect = undefined;
      resolve(opened);
    };
    connect = settle;
    control.send('data', {});
  });
  return connecting;
}

/** Ends the channel; the next request opens another one. */
function close() {
  channel?.socket.destroy();
  connect?.(undefined);
  channel = undefined;
  pausing = 0;
}

const request = async (head, body) => (await open())?.request(head, body);

// The supervisor's clock when computations began, by call and key: those that are not
// stored yet, the oldest first.
const begun = new WeakMap();

/** Notes that the running call computes the value of a key after reading found. */
function begin(key, found) {
  const call = current();
  if (!call || !found.now) return;
  if (!begun.has(call)) begun.set(call, new Map());
  const all = begun.get(call);
  if (all.has(key)) all.get(key).push(found.now);
  else all.set(key, [found.now]);
}

const hash = (key) => createHash('sha256').update(key).digest('hex');

/**
 * What is stored: { status: 'miss' }, or 'fresh' or 'stale' with what describes it and its
 * bytes. Tags are soft. undefined: the platform's cache is unavailable.
 */
async function get(key, tags) {
  const found = await request({ op: 'get', key: hash(key), tags });
  return known(found) && { ...found, meta: found.meta && JSON.parse(found.meta) };
}

/**
 * Stores bytes with tags and what describes them, for as many seconds as it is usable.
 * began is when their computation did, in ms, unless the platform's clock is known by
 * begin. undefined: the cache is unavailable.
 */
function put(key, bytes, { tags, meta, usable, began }) {
  const born = begun.get(current() ?? begun)?.get(key)?.shift() ?? String(BigInt(Math.floor(began * 1000)) * 1000n);
  return request({ op: 'put', key: hash(key), tags, meta: JSON.stringify(meta), usable, born }, bytes);
}

/** Invalidates tags, after so many seconds; undefined is never. name is its ID. undefined: they are not invalidated. */
async function invalidate(tags, grace, name) {
  return known(await request({ op: 'invalidate', tags, grace, name }));
}

/** An answer other than the refusal of a request past a limit. */
const known = (answer) => (answer?.status === 'refused' ? undefined : answer);

module.exports = { connected, close, begin, get, put, invalidate };
