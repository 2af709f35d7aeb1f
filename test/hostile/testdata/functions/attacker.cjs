'use strict';
// Runs the attacker with the arguments in the query, and answers with its output: at
// once if the first line is "listening", otherwise when the attacker has ended.

const { spawn } = require('node:child_process');
const path = require('node:path');
const { args } = require('./attempt.cjs');

module.exports = (req, res) => {
  const child = spawn(path.join(__dirname, 'attacker'), args(req), { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let errors = '';
  child.stdout.on('data', (data) => {
    out += data;
    if (out === 'listening\n') res.end(out);
  });
  child.stderr.on('data', (data) => { errors += data; });
  child.on('error', (error) => res.end(JSON.stringify({ start: error.code })));
  child.on('close', (code, signal) => {
    if (code === 0) return res.end(out);
    res.statusCode = 500;
    return res.end(`${signal ?? code}: ${errors.slice(0, 2000)}`);
  });
};
