'use strict';
// The age of an instance. Its process may be older: it waited on standby.

const process = require('node:process');

const { uptime } = process;
let born = 0;

process.uptime = () => uptime() - born;

/** Counts the process's uptime from now on. */
function restart() {
  born = uptime();
}

module.exports = { restart };
