'use strict';
// Reads, lists and changes the paths in the query, and links to them.

const fs = require('node:fs');
const { answer, args } = require('./attempt.cjs');

const kept = (path, f) => { // through a symbolic link that it creates
  const link = `/tmp/link-${Math.random()}`;
  fs.symlinkSync(path, link);
  return f(link);
};

module.exports = (req, res) => {
  const attempts = {};
  for (const path of args(req)) {
    attempts[`read ${path}`] = () => { fs.readFileSync(path); };
    attempts[`list ${path}`] = () => { fs.readdirSync(path); };
    attempts[`append to ${path}`] = () => fs.appendFileSync(path, 'hostile');
    attempts[`make in ${path}`] = () => fs.writeFileSync(`${path}/hostile`, 'hostile');
    attempts[`remove ${path}`] = () => fs.unlinkSync(path);
    attempts[`remove the directory ${path}`] = () => fs.rmdirSync(path);
    attempts[`rename ${path}`] = () => fs.renameSync(path, `${path}.gone`);
    attempts[`chmod ${path}`] = () => fs.chmodSync(path, 0o777);
    attempts[`read by link ${path}`] = () => { kept(path, fs.readFileSync); };
    attempts[`list by link ${path}`] = () => { kept(path, fs.readdirSync); };
    attempts[`read by init ${path}`] = () => { fs.readFileSync(`/proc/1/root${path}`); };
    attempts[`read from above ${path}`] = () => { fs.readFileSync(`/var/task/../../../../../..${path}`); };
  }
  return answer(res, attempts);
};
