'use strict';
// Starts thousands of threads.

const { Worker } = require('node:worker_threads');

module.exports = (req, res) => {
  let failed = 0;
  for (let n = 0; n < 4000; n++) {
    try {
      new Worker('setInterval(() => {}, 1e9)', { eval: true, resourceLimits: { maxOldGenerationSizeMb: 4 } }).on('error', () => { failed++; });
    } catch {
      failed++;
    }
  }
  res.end(`${failed} failed`);
};
