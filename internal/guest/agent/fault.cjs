'use strict';
// Errors nobody caught, and calls of process.exit: they fail the request they
// belong to, its neighbours finish, and the platform is told to retire the
// instance, whose state is in doubt.

const process = require('node:process');
const control = require('./control.cjs');
const { current, live, summary, complain } = require('./call.cjs');

// Thrown by process.exit where returning would be wrong and exiting too early.
const EXIT = Object.assign(new Error('process.exit was called'), { name: 'ProcessExit' });

const exit = process.exit.bind(process);
let loading = true;
let retired = false;

function install() {
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    process.on(event, (error) => {
      // Code with a listener of its own deals with its errors itself.
      if (error === EXIT || process.listenerCount(event) > 1) return;
      failed(error);
    });
  }
  process.exit = (code) => {
    if (code !== undefined) process.exitCode = code;
    const status = process.exitCode ?? 0;
    const call = current();
    const error = new Error(`the function called process.exit(${status})`);
    complain(error);
    if (!call?.res.writableEnded) call?.fail(error, status === 0 ? 'no-response' : 'failed');
    retire(error.message, status);
    if (!loading && [...live].some((other) => other !== call)) throw EXIT;
    exit();
  };
}

/** Deals with an error that came up outside of every try. */
function failed(error) {
  complain(error);
  const call = current();
  call?.fail(error);
  retire(summary(error), 1);
  if (loading) exit(1);
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
