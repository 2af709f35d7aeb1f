'use strict';
// Closes the descriptors of the process, or opens them a second time.

const fs = require('node:fs');
const { answer } = require('./attempt.cjs');

module.exports = (req, res) => {
  const { pathname } = new URL(req.url, 'http://function');
  if (pathname === '/reopen') {
    const attempts = {};
    for (const fd of ['3', '4']) attempts[fd] = () => { fs.openSync(`/proc/self/fd/${fd}`, 'r+'); };
    return answer(res, attempts);
  }
  if (pathname === '/list') {
    const attempts = {};
    for (const fd of fs.readdirSync('/proc/self/fd')) attempts[fd] = () => fs.readlinkSync(`/proc/self/fd/${fd}`);
    return answer(res, attempts);
  }
  res.end('closing', () => {
    for (const fd of pathname.slice(1).split(',')) {
      try {
        fs.closeSync(Number(fd));
      } catch {}
    }
  });
  return undefined;
};
