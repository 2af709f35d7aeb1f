'use strict';
// A well-behaved function of another tenant: it answers with the URL of the request, and
// "well" if its files, its /tmp and its environment are intact.

const { readFileSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

module.exports = (req, res) => {
  const file = path.join(tmpdir(), 'of-the-neighbour');
  writeFileSync(file, process.env.SECRET);
  const secret = readFileSync(path.join(__dirname, 'secret.txt'), 'utf8');
  res.end(`${req.url} ${secret === readFileSync(file, 'utf8') ? 'well' : 'not well'}`);
};
