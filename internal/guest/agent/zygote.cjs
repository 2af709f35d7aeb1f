'use strict';
// A zygote: a blank process that never becomes a function, but forks blank
// processes, each into a sandbox of its own. What runs in it is the agent alone.
// See native/zygote.c for how it forks.

const process = require('node:process');
const { setFlagsFromString } = require('node:v8');
const vm = require('node:vm');
const addon = require('./addon.cjs');
const control = require('./control.cjs');
const random = require('./random.cjs');

const TURNS = 3; // of the event loop, in which closed connections end

/** Serves orders. It goes on in children alone, each of which parks. */
async function serve(server, { fork, enter }, park) {
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
  control.send('born', { error: 0 }); // orders may come: whatever reads this socket from now on takes descriptors, too
  bear(control.DESCRIPTOR);
  Object.defineProperty(process, 'pid', { value: pid(), enumerable: true, configurable: true });
  process.execArgv = []; // the flags of the zygote do not apply to worker threads
  process.reallyExit = exit; // the runtime's own waits for threads that a fork does not have
  control.exitBy(exit);
  random.renew();
  park();
}

module.exports = { serve };
