'use strict';
// Attacks while it is loaded, and never becomes ready. It first starts a process that
// outlives the load.

const { spawnSync } = require('node:child_process');
const { writeSync } = require('node:fs');
const path = require('node:path');

const { HOW, NAME } = process.env;
spawnSync(path.join(__dirname, 'attacker'), ['daemon', NAME]);

switch (HOW) {
  case 'loop':
    for (;;);
  case 'wait': // endlessly, with a blocked event loop
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    break;
  case 'exit':
    process.reallyExit(0);
    break;
  case 'kill':
    process.kill(process.pid, 'SIGKILL');
    break;
  case 'stop':
    process.kill(process.pid, 'SIGSTOP');
    break;
  case 'control':
    for (;;) writeSync(3, Buffer.alloc(1 << 16, 'x'));
  case 'memory': {
    const held = [];
    for (;;) held.push(Buffer.alloc(1 << 20, 1));
  }
  case 'deep': {
    const deeper = () => deeper() + 1;
    deeper();
  }
}
