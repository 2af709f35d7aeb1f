'use strict';
// A template: a process that has loaded a function and answered its warm-up requests,
// and from then on only forks. Each child is an instance, loaded and warm, with
// descriptors of its own. A function that loads with state that a fork cannot carry
// over, such as an open connection, has no templates.

const childProcess = require('node:child_process');
const dgram = require('node:dgram');
const { readdirSync } = require('node:fs');
const net = require('node:net');
const process = require('node:process');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const addon = require('./addon.cjs');
const { sendEnded } = require('./call.cjs');
const control = require('./control.cjs');
const data = require('./data.cjs');
const delay = require('./delay.cjs');
const random = require('./random.cjs');
const uptime = require('./uptime.cjs');

const HARMLESS = ['PipeWrap', 'PipeServerWrap', 'Timeout', 'Immediate', 'TickObject'];
const PATIENCE = 50; // turns of the event loop in which pending work may end

let native;
let collect; // the function gc of V8
let reason = ''; // the reason that forks are impossible
let undo = [];
let written; // files that loading left in the directory for temporary files

const { TMPDIR } = process.env; // set by the platform

/** Starts to record state that prevents forks; called before the function is loaded. */
function install(library) {
  delete process.env.LD_PRELOAD; // this process's own: see native/fork.c
  setFlagsFromString('--expose-gc'); // for contexts made from now on
  collect = runInNewContext('gc');
  native = addon.load(library);
  random.install();
  forbid(net.Socket.prototype, 'connect', 'it opened a connection');
  forbid(net.Server.prototype, 'listen', 'it listens on a socket of its own');
  forbid(dgram.Socket.prototype, 'bind', 'it opened a socket');
  forbid(dgram.Socket.prototype, 'send', 'it opened a socket');
  forbid(childProcess.ChildProcess.prototype, 'spawn', 'it started a process');
  const started = () => (reason ||= 'it started a worker thread');
  process.on('worker', started);
  undo.push(() => process.off('worker', started));
}

function forbid(prototype, name, why) {
  const own = Object.hasOwn(prototype, name);
  const method = prototype[name];
  prototype[name] = function (...args) {
    reason ||= why;
    return method.apply(this, args);
  };
  undo.push(() => {
    if (own) prototype[name] = method;
    else delete prototype[name];
  });
}

/** Records the files that loading wrote; called after it. Files written later would be shared by all children. */
function loaded() {
  written = files();
}

function files() {
  return TMPDIR ? readdirSync(TMPDIR, { recursive: true }).sort().join('\n') : '';
}

/** Waits for pending work; returns the reason that forks are impossible, or "". */
async function check() {
  let active = [];
  for (let turn = 0; turn < PATIENCE && !reason; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    active = process.getActiveResourcesInfo().filter((name) => !HARMLESS.includes(name));
    if (active.length === 0) break;
    if (turn > 5) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  reason ||= active.length > 0 ? `it holds what a fork cannot carry over (${[...new Set(active)].join(', ')})` : '';
  reason ||= random.settle();
  reason ||= files() === written ? '' : 'its answers leave temporary files';
  return reason;
}

/**
 * Serves forks. It returns in children only, which are instances from then on. A
 * child may be on standby until a start takes it: it blocks, so that no code of the
 * function runs before.
 */
async function serve(server) {
  server.closeAllConnections();
  data.close();
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  collect();
  sendEnded(); // or each child would report the same ends
  native.receive(control.DESCRIPTOR);
  control.send('forked', {});
  native.settle(control.DESCRIPTOR);
  Object.defineProperty(process, 'pid', { value: native.pid(), enumerable: true, configurable: true });
  process.reallyExit = native.exit;
  control.exitBy(native.exit);
  random.renew();
  for (const f of undo) f();
  undo = [];
  control.send('waiting', {});
  native.settle(control.DESCRIPTOR);
  uptime.restart();
  delay.restart();
  control.watch();
  control.send('server-started', { initDuration: 0 });
}

module.exports = { install, loaded, check, serve };
