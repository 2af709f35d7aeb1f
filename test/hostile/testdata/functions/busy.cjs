'use strict';
// Uses all CPU time there is: in the main thread, or in many beside it.

const { Worker } = require('node:worker_threads');

module.exports = (req, res) => {
  if (req.url === '/threads') {
    for (let n = 0; n < 8; n++) new Worker('for (;;);', { eval: true });
    return res.end('busy');
  }
  for (;;);
};
