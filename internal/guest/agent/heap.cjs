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
const RESERVED = 64; // MiB reserved, at least, for code, stacks, young objects and buffers

let setHeapLimit = () => {}; // in bytes

/** Loads the native function that sets V8's limit: at boot, since loading takes time. */
function install() {
  if (!existsSync(LIBRARY)) return;
  ({ limit: setHeapLimit } = addon.load(LIBRARY));
}

/** Sets the memory limit, in MiB, in V8 and in the functions of process that return it. */
function setLimit(memory) {
  if (!memory) return;
  setHeapLimit((memory - Math.max(RESERVED, Math.floor(memory / 8))) * MIB);
  const { rss } = process.memoryUsage;
  process.constrainedMemory = () => memory * MIB;
  process.availableMemory = () => Math.max(0, memory * MIB - rss());
}

module.exports = { install, setLimit };
