'use strict';
// Measures the delay of the event loop. While calls are in progress, a timer is due
// every TICK ms; the time by which it is late is the time that any event waits
// because the thread is busy. Without calls there is no timer.

const { performance } = require('node:perf_hooks');
const { setTimeout } = require('node:timers');

const TICK = 25; // ms

let timer;
let ticking = false;
let due = 0;
let busy = () => false; // whether there are calls
let noticed = { ticks: 0, late: 0 }; // since the last report; late is the sum in ms

/** Starts the timer, at the start of a call. It runs while there are calls. */
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
