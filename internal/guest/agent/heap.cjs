'use strict';
// The memory of the function. V8 takes the bound of its heap from the host's
// memory when it boots, long before there is a function, and would let garbage
// grow past what the function may use.

const { existsSync } = require('node:fs');
const path = require('node:path');
const process = require('node:process');
const addon = require('./addon.cjs');

const LIBRARY = path.join(__dirname, 'fork.node'); // on machines that there is one for
const MIB = 1 << 20;
const OTHER = 64; // MiB, at least, of code, stacks, young objects and buffers

let limit = () => {};

/** Gets at V8's limit, while time does not matter. */
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
