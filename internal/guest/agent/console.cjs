'use strict';
// Sends the text that user code writes to the console and the standard streams to the
// platform, with the request that wrote it.

const process = require('node:process');
const { Buffer } = require('node:buffer');
const { StringDecoder } = require('node:string_decoder');
const control = require('./control.cjs');
const { current, atEnd } = require('./call.cjs');

const MAX_ENTRY = 256 * 1024; // characters
const NO_CALL = { invocationId: '0', requestId: 0 };
const LEVELS = { debug: 'debug', log: 'info', info: 'info', warn: 'warn', error: 'error', trace: 'debug' };

let level; // level of the console method that is writing; undefined: a direct write to a stream

/** Captures the standard streams, and assigns levels to the console's methods. */
function install() {
  const streams = [new Capture('info'), new Capture('error')];
  streams[0].attach(process.stdout);
  streams[1].attach(process.stderr);
  atEnd.push((call) => streams.forEach((stream) => stream.flush(call)));
  process.on('exit', () => streams.forEach((stream) => stream.flushAll()));
  for (const [name, methodLevel] of Object.entries(LEVELS)) {
    const write = console[name];
    console[name] = function (...args) {
      level = methodLevel;
      try {
        return write.apply(this, args);
      } finally {
        level = undefined;
      }
    };
    Object.defineProperty(console[name], 'name', { value: name });
  }
}

/**
 * Capture turns writes to a stream into entries. A write that ends with a line break
 * is one entry with its inner line breaks. Text without a line break is buffered until
 * one follows, separately for each call.
 */
class Capture {
  constructor(level) {
    this.level = level;
    this.partial = new Map(); // call (undefined: no call) → { text, decoder } of the entry without a line break
  }

  attach(stream) {
    stream.write = (chunk, encoding, callback) => {
      const done = typeof encoding === 'function' ? encoding : callback;
      this.add(current(), chunk, typeof encoding === 'string' ? encoding : undefined);
      if (done) process.nextTick(done);
      return true;
    };
  }

  add(call, chunk, encoding) {
    const entry = this.partial.get(call) ?? { text: '', decoder: undefined };
    if (typeof chunk === 'string' && (encoding === undefined || Buffer.isEncoding(encoding))) {
      entry.text += /^(hex|base64|base64url)$/i.test(encoding) ? Buffer.from(chunk, encoding) : chunk;
    } else {
      entry.decoder ??= new StringDecoder();
      entry.text += entry.decoder.write(Buffer.from(chunk));
    }
    const end = entry.text.lastIndexOf('\n');
    if (end >= 0) {
      this.send(call, entry.text.slice(0, end));
      entry.text = entry.text.slice(end + 1);
    }
    if (entry.text.length > MAX_ENTRY) {
      this.send(call, entry.text);
      entry.text = '';
    }
    if (entry.text === '' && !entry.decoder) this.partial.delete(call);
    else this.partial.set(call, entry);
  }

  flush(call) {
    const entry = this.partial.get(call);
    if (!entry) return;
    this.partial.delete(call);
    this.send(call, entry.text + (entry.decoder?.end() ?? ''));
  }

  flushAll() {
    for (const call of this.partial.keys()) this.flush(call);
  }

  send(call, text) {
    if (text === '') return;
    control.send('log', {
      context: call?.reference ?? NO_CALL,
      message: Buffer.from(text.slice(0, MAX_ENTRY)).toString('base64'),
      level: level ?? this.level,
      truncated: text.length > MAX_ENTRY || undefined,
    });
  }
}

module.exports = { install };
