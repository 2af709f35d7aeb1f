'use strict';
// Measures the delay of the event loop. While calls are in progress, a timer is due
// every TICK ms; its lateness is the time for which any event waits because the thread
// is busy. Without calls there is no timer.

const { performance } = require('node:perf_hooks');
const { setTimeout } = require('node:timers');

const TICK = 25; // ms

let timer;
let ticking = false;
let due = 0; // time of the next tick, on the clock of performance.now
let hasCalls = () => false; // reports whether calls are in progress
let delay = { ticks: 0, late: 0 }; // since the last call of take; late is the sum in ms

/** Starts the timer, at the start of a call. It runs while isBusy returns true. */
function begin(isBusy) {
  if (ticking) return;
  hasCalls = isBusy;
  ticking = true;
  schedule();
}

function schedule() {
  due = performance.now() + TICK;
  if (timer) timer.refresh();
  else timer = setTimeout(tick, TICK).unref();
}

function tick() {
  delay.ticks++; // also after the last call, which may have caused the delay
  delay.late += Math.max(0, performance.now() - due);
  if (hasCalls()) schedule();
  else ticking = false;
}

/** Returns the measurements since the last call; undefined if there are none. */
function take() {
  if (delay.ticks === 0) return undefined;
  const taken = delay;
  delay = { ticks: 0, late: 0 };
  return taken;
}

/** Restarts the measurement after the process was frozen. */
function restart() {
  take();
  if (ticking) schedule();
}

module.exports = { begin, take, restart };
