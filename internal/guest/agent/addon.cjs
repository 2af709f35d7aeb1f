'use strict';
// Objects from C that Node.js loads: see ../native.

const process = require('node:process');

/** Returns the exports of the shared object in a file. */
function load(file) {
  const module = { exports: {} };
  process.dlopen(module, file);
  return module.exports;
}

module.exports = { load };
