'use strict';
// The control socket: descriptor 3, JSON messages that end with a NUL byte, in
// both directions. Writes are synchronous, so that a message is sent even if the
// process ends in the next line.

const process = require('node:process');
const { Buffer } = require('node:buffer');
const { Socket } = require('node:net');
const { readSync, writeSync } = require('node:fs');

const DESCRIPTOR = 3;
let reallyExit = process.reallyExit.bind(process);

// Created at boot, off the path of a request; it reads nothing before watch. libuv
// makes descriptors non-blocking, which would break the synchronous calls here.
const socket = new Socket({ fd: DESCRIPTOR, readable: true, writable: false, manualStart: true });
socket._handle.setBlocking(true);
socket.unref();

/** Sends one message. Exits if the supervisor has gone. */
function send(type, payload) {
  const bytes = Buffer.from(JSON.stringify({ type, payload }) + '\0');
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(DESCRIPTOR, bytes, at);
  } catch {
    reallyExit(1);
  }
}

/** Blocks the whole process until a message arrives; nothing else runs. */
function receive() {
  const chunk = Buffer.allocUnsafe(1 << 16);
  const chunks = [];
  for (;;) {
    const n = readSync(DESCRIPTOR, chunk);
    if (n === 0) reallyExit(0);
    const nul = chunk[n - 1] === 0;
    chunks.push(Buffer.from(chunk.subarray(0, nul ? n - 1 : n)));
    if (nul) return JSON.parse(Buffer.concat(chunks).toString());
  }
}

/** From now on the process exits when the supervisor ends. */
function watch() {
  socket.on('end', () => reallyExit(0));
  socket.on('error', () => reallyExit(1));
  socket.resume();
}

/** From now on every exit of the process calls f(status). */
function exitBy(f) {
  reallyExit = f;
}

module.exports = { DESCRIPTOR, send, receive, watch, exitBy };
