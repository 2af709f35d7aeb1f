'use strict';
// A zygote: a blank process that runs no function but forks blank processes, each into
// a sandbox of its own. Only the agent runs in it. native/zygote.c implements the fork.

const process = require('node:process');
const { setFlagsFromString } = require('node:v8');
const vm = require('node:vm');
const addon = require('./addon.cjs');
const control = require('./control.cjs');
const random = require('./random.cjs');

const TURNS = 3; // of the event loop, in which closed connections end

/** Serves orders. It returns in children only, each of which waits for a function. */
async function serve(server, { fork, enter }, waitForFunction) {
  delete process.env.LD_PRELOAD; // this process's own: see native/fork.c
  const { pid, exit } = addon.load(fork);
  const { bear } = addon.load(enter);
  server.closeAllConnections();
  for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
  random.install();
  setFlagsFromString('--expose-gc');
  vm.runInNewContext('gc')();
  setFlagsFromString('--no-expose-gc');
  random.settle();
  control.send('born', { error: 0 }); // ready for orders, which carry descriptors
  bear(control.DESCRIPTOR);
  Object.defineProperty(process, 'pid', { value: pid(), enumerable: true, configurable: true });
  process.execArgv = []; // the flags of the zygote do not apply to worker threads
  process.reallyExit = exit; // Node's own waits for threads that do not exist after a fork
  control.exitBy(exit);
  random.renew();
  waitForFunction();
}

module.exports = { serve };
