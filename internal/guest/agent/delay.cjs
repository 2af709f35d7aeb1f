'use strict';
// How late the event loop is. While there are calls a timer is due every TICK
// ms; how much later it comes is how long whatever happens waits for its turn,
// because the thread is busy with something else. Without calls there is none.

const { performance } = require('node:perf_hooks');
const { setTimeout } = require('node:timers');

const TICK = 25; // ms

let timer;
let ticking = false;
let due = 0;
let busy = () => false; // whether there are calls
let noticed = { ticks: 0, late: 0 }; // since it was last told; ms, of all of them

/** Ticks as long as there are calls; one has begun. */
function begin(areThere) {
  if (ticking) return;
  busy = areThere;
  ticking = true;
  next();
}

function next() {
  due = performance.now() + TICK;
  if (timer) timer.refresh();
  else timer = setTimeout(tick, TICK).unref();
}

function tick() {
  noticed.ticks++; // also after the last call, which may have caused the delay
  noticed.late += Math.max(0, performance.now() - due);
  if (busy()) next();
  else ticking = false;
}

/** Returns the measurements since the last call; undefined if there are none. */
function take() {
  if (noticed.ticks === 0) return undefined;
  const told = noticed;
  noticed = { ticks: 0, late: 0 };
  return told;
}

/** Restarts the measurement after the process was frozen. */
function restart() {
  take();
  if (ticking) next();
}

module.exports = { begin, take, restart };
