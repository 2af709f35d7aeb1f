'use strict';
// Uncaught errors and calls of process.exit: they fail the request that they belong
// to, concurrent requests finish, and the platform is told to retire the instance,
// whose state is unknown. If the request is unknown, any request in progress may
// depend on the failed work, so all of them fail.

const process = require('node:process');
const control = require('./control.cjs');
const { callOf, current, live, run, summary, complain } = require('./call.cjs');

// Thrown by process.exit, which must not return to user code and cannot exit yet.
const EXIT = Object.assign(new Error('process.exit was called'), { name: 'ProcessExit' });

const exit = process.exit.bind(process);
let loading = true;
let retired = false;

function install() {
  // Node.js calls emit to learn whether a listener handles an error, and exits if
  // none does. User code with listeners sees only its own, and behaves as it would
  // elsewhere: it ignores the error, or reports it and calls process.exit.
  const { emit } = process;
  process.emit = function (event, ...args) {
    const fault = event === 'uncaughtException' || event === 'unhandledRejection';
    if (!fault) return emit.call(this, event, ...args);
    if (args[0] === EXIT) return true;
    return run(callOf(args[0]), () => {
      if (process.listenerCount(event) > 0) return emit.call(this, event, ...args);
      failed(args[0]);
      return true;
    });
  };
  process.exit = (code) => {
    if (code !== undefined) process.exitCode = code;
    const status = process.exitCode ?? 0;
    const error = new Error(`the function called process.exit(${status})`);
    if (loading || live.size > 0) complain(error); // at other times an exit is no failure
    for (const call of affected()) call.fail(error, status === 0 ? 'no-response' : 'failed');
    retire(error.message, status);
    if (!loading && [...live].some((other) => other !== current())) throw EXIT;
    exit();
  };
}

/** Handles an uncaught error. */
function failed(error) {
  complain(error);
  for (const call of affected()) call.fail(error);
  retire(summary(error), 1);
  if (loading) exit(1);
}

/** Returns the calls that an error of the running code fails. */
function affected() {
  const call = current();
  return call ? [call] : [...live];
}

/** Tells the platform to send no more requests. */
function retire(message, exitCode) {
  if (retired) return;
  retired = true;
  control.send('unrecoverable-error', { exitCode, message });
}

/** Records that the code is loaded: from now on its errors fail requests. */
function loaded() {
  loading = false;
}

module.exports = { install, loaded, failed, EXIT };
