'use strict';
// Objects from C that Node.js loads: see ../native.

const process = require('node:process');

/** What the object in a file exports. */
function load(file) {
  const module = { exports: {} };
  process.dlopen(module, file);
  return module.exports;
}

module.exports = { load };
