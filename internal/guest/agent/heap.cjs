'use strict';
// The memory limit of the function. V8 derives the limit of its heap from the host's
// memory when it boots, long before a function is activated, and would let garbage
// grow past the function's memory limit.

const { existsSync } = require('node:fs');
const path = require('node:path');
const process = require('node:process');
const addon = require('./addon.cjs');

const LIBRARY = path.join(__dirname, 'fork.node'); // exists for some architectures only
const MIB = 1 << 20;
const OTHER = 64; // MiB reserved, at least, for code, stacks, young objects and buffers

let limit = () => {};

/** Loads the access to V8's limit, at boot, off the path of a request. */
function install() {
  if (!existsSync(LIBRARY)) return;
  ({ limit } = addon.load(LIBRARY));
}

/** Sets the memory limit, in MiB, in V8 and in the API that reports it to code. */
function bound(memory) {
  if (!memory) return;
  limit((memory - Math.max(OTHER, Math.floor(memory / 8))) * MIB);
  const { rss } = process.memoryUsage;
  process.constrainedMemory = () => memory * MIB;
  process.availableMemory = () => Math.max(0, memory * MIB - rss());
}

module.exports = { install, bound };
