'use strict';
// Allocates memory without end: on V8's heap, in buffers outside of it, in files of a tmpfs.

const { appendFileSync } = require('node:fs');

const held = [];

module.exports = (req, res) => {
  switch (req.url) {
    case '/heap':
      for (;;) held.push(new Array(1e5).fill(held.length));
    case '/buffers':
      for (;;) held.push(Buffer.alloc(1 << 20, held.length));
    case '/tmp':
    case '/dev/shm': {
      let written = 0;
      try {
        for (;; written++) appendFileSync(`${req.url}/memory`, Buffer.alloc(1 << 20, 1));
      } catch (error) {
        return res.end(`${error.code} ${written}`);
      }
    }
  }
  return res.end('small');
};
