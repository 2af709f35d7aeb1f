'use strict';
// A function of somebody else, which works: it looks into its files, its /tmp
// and its environment, and says who asked.

const { readFileSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

module.exports = (req, res) => {
  const file = path.join(tmpdir(), 'of-the-neighbour');
  writeFileSync(file, process.env.SECRET);
  const secret = readFileSync(path.join(__dirname, 'secret.txt'), 'utf8');
  res.end(`${req.url} ${secret === readFileSync(file, 'utf8') ? 'well' : 'not well'}`);
};
