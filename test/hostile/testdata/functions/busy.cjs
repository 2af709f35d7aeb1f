'use strict';
// Uses all available CPU time: in the main thread, or in many other threads.

const { Worker } = require('node:worker_threads');

module.exports = (req, res) => {
  if (req.url === '/threads') {
    for (let n = 0; n < 8; n++) new Worker('for (;;);', { eval: true });
    return res.end('busy');
  }
  for (;;);
};
