'use strict';
// Sends a signal to other processes: a pid in the query, its parent, init, all.

const { answer, args } = require('./attempt.cjs');

module.exports = (req, res) => {
  if (req.url === '/stop') return process.kill(process.pid, 'SIGSTOP');
  const attempts = {};
  for (const arg of args(req)) {
    const pid = arg === 'parent' ? process.ppid : Number(arg);
    for (const signal of ['SIGTERM', 'SIGSTOP', 'SIGKILL']) attempts[`${signal} ${arg}`] = () => process.kill(pid, signal) && undefined;
  }
  return answer(res, attempts);
};
