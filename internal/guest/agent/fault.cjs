'use strict';
// Errors nobody caught, and calls of process.exit: they fail the request they
// belong to, its neighbours finish, and the platform is told to retire the
// instance, whose state is in doubt. Where the request is unknown, each that is
// under way may wait for what has failed, so all of them fail.

const process = require('node:process');
const control = require('./control.cjs');
const { callOf, current, live, run, summary, complain } = require('./call.cjs');

// Thrown by process.exit where returning would be wrong and exiting too early.
const EXIT = Object.assign(new Error('process.exit was called'), { name: 'ProcessExit' });

const exit = process.exit.bind(process);
let loading = true;
let retired = false;

function install() {
  // Node.js asks by emit whether anybody deals with an error, and else dies.
  // Code with listeners of its own finds none but those, and does as it would
  // anywhere: swallows the error, or reports it and calls process.exit.
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
    if (loading || live.size > 0) complain(error); // at other times it may well
    for (const call of affected()) call.fail(error, status === 0 ? 'no-response' : 'failed');
    retire(error.message, status);
    if (!loading && [...live].some((other) => other !== current())) throw EXIT;
    exit();
  };
}

/** Deals with an error that came up outside of every try. */
function failed(error) {
  complain(error);
  for (const call of affected()) call.fail(error);
  retire(summary(error), 1);
  if (loading) exit(1);
}

/** The calls that a fault of the running code fails. */
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

/** From now on the code is loaded, and its faults are those of requests. */
function loaded() {
  loading = false;
}

module.exports = { install, loaded, failed, EXIT };
