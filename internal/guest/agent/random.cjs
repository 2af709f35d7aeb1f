'use strict';
// Random numbers in processes that were forked from one process. Numbers drawn from
// the kernel after the fork differ; state drawn before it is the same in all children
// and is replaced here before user code runs: the generator of Math.random, which is
// V8's own, cannot be reseeded and is therefore substituted, the buffers of Node.js
// for randomUUID and randomInt, and the pools of packages.

const crypto = require('node:crypto');
const { syncBuiltinESMExports } = require('node:module');
const { setFlagsFromString } = require('node:v8');
const vm = require('node:vm');

const { randomBytes } = crypto;
const UUIDS = 128; // number that Node.js draws at once
const INTS = 1024;
const MAX_POOLS = 10_000;

const state = new Uint32Array(4); // of xoshiro128**
let pools = []; // weak references to buffers that were filled
let drewInts = false;

function rotate(x, k) {
  return (x << k) | (x >>> (32 - k));
}

function next() {
  const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0;
  const t = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= t;
  state[3] = rotate(state[3], 11);
  return result;
}

/** Replaces the generators that give all children the same values, before any code can keep a reference. */
function install() {
  crypto.randomFillSync(state);
  Math.random = function random() {
    return ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000;
  };
  watch(crypto, 'randomFillSync');
  watch(crypto, 'randomFill');
  watch(Object.getPrototypeOf(globalThis.crypto), 'getRandomValues');
  const { randomInt } = crypto;
  for (const name of ['randomBytes', 'pseudoRandomBytes', 'rng', 'prng']) draw(name);
  crypto.randomInt = function (...args) {
    drewInts = true;
    return randomInt.apply(this, args);
  };
  const { createContext } = vm;
  vm.createContext = function (...args) {
    const context = createContext.apply(this, args);
    return seeded(() => (vm.runInContext('Math.random()', context), context));
  };
  for (const owner of [vm, vm.Script.prototype]) {
    const { runInNewContext } = owner;
    owner.runInNewContext = function (...args) {
      return seeded(() => runInNewContext.apply(this, args));
    };
  }
  syncBuiltinESMExports();
}

/**
 * Runs f, in which a context draws its first number. V8 seeds each context with a
 * number of the process, which is the same in all children, unless a flag sets the seed.
 */
function seeded(f) {
  setFlagsFromString(`--random-seed=${randomBytes(4).readUInt32LE() >>> 2 || 1}`);
  try {
    return f();
  } finally {
    setFlagsFromString('--random-seed=0');
  }
}

/** Remembers the buffers that a function returns. */
function draw(name) {
  if (!Object.hasOwn(crypto, name)) return;
  const make = function (size, callback) {
    if (callback === undefined) {
      const bytes = randomBytes(size);
      remember([bytes]);
      return bytes;
    }
    return randomBytes(size, typeof callback !== 'function' ? callback : function (error, bytes) {
      if (bytes) remember([bytes]);
      return callback.call(this, error, bytes);
    });
  };
  Object.defineProperty(make, 'name', { value: 'randomBytes', configurable: true });
  Object.defineProperty(crypto, name, { value: make, configurable: true, enumerable: name === 'randomBytes', writable: true });
}

/** Remembers the buffers that a function fills. */
function watch(owner, name) {
  const fill = owner[name];
  owner[name] = function (...args) {
    if (ArrayBuffer.isView(args[0]) || args[0] instanceof ArrayBuffer) remember(args);
    return fill.apply(this, args);
  };
  Object.defineProperty(owner[name], 'name', { value: name });
  Object.defineProperty(owner[name], 'length', { value: fill.length });
}

let remembering = true;

function remember([buffer, offset, size]) {
  if (!remembering) return;
  if (pools.length >= MAX_POOLS) pools = pools.filter((pool) => pool.buffer.deref());
  if (pools.length >= MAX_POOLS) remembering = false; // so many buffers are no pool
  pools.push({
    buffer: new WeakRef(buffer),
    offset: typeof offset === 'number' ? offset : undefined,
    size: typeof size === 'number' ? size : undefined,
  });
}

/** Drops collected buffers. Returns the reason why children would draw the same numbers, or "". */
function settle() {
  if (!remembering) return 'it fills more buffers with random bytes than can be refilled';
  remembering = false;
  pools = pools.filter((pool) => pool.buffer.deref());
  return '';
}

/** Draws all random state again. */
function renew() {
  crypto.randomFillSync(state);
  for (const { buffer, offset, size } of pools) {
    const target = buffer.deref();
    if (target) crypto.randomFillSync(target, offset, size);
  }
  pools = [];
  // Consumes all that Node.js had drawn before the fork.
  for (let i = 0; i <= UUIDS; i++) crypto.randomUUID();
  for (let i = 0; drewInts && i <= INTS; i++) crypto.randomInt(2);
}

module.exports = { install, settle, renew };
