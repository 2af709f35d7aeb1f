'use strict';
// Reads files of other processes in /proc, and tries to change settings of the kernel.

const fs = require('node:fs');
const { answer } = require('./attempt.cjs');

const read = (path) => () => {
  const text = fs.readFileSync(path);
  return text.length === 0 ? 'empty' : undefined;
};
const write = (path, text) => () => fs.writeFileSync(path, text);

module.exports = (req, res) => answer(res, {
  pids: () => fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length.toString(),
  self: () => String(process.pid),
  // No readable file may contain the platform's secret.
  secrets: () => {
    const found = [];
    for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      for (const file of ['environ', 'cmdline']) {
        try {
          if (fs.readFileSync(`/proc/${pid}/${file}`, 'latin1').includes('of the platform')) found.push(`${pid}/${file}`);
        } catch {}
      }
    }
    return found.join(' ');
  },
  'write hostname': write('/proc/sys/kernel/hostname', 'hostile'),
  'write core_pattern': write('/proc/sys/kernel/core_pattern', '|/tmp/hostile'),
  'write modprobe': write('/proc/sys/kernel/modprobe', '/tmp/hostile'),
  'write ip_forward': write('/proc/sys/net/ipv4/ip_forward', '1'),
  'write ping_group_range': write('/proc/sys/net/ipv4/ping_group_range', '0 2147483647'),
  'write max_user_namespaces': write('/proc/sys/user/max_user_namespaces', '100'),
  'write sysrq': write('/proc/sysrq-trigger', 'h'),
  'write oom_score': write('/proc/self/oom_score_adj', '-1000'),
  'read kcore': read('/proc/kcore'),
  'read kmsg': () => fs.openSync('/proc/kmsg', fs.constants.O_RDONLY | fs.constants.O_NONBLOCK) && undefined,
  'read keys': read('/proc/keys'),
  'read timer_list': read('/proc/timer_list'),
  'read kpagecount': read('/proc/kpagecount'),
  'read sched_debug': read('/proc/sched_debug'),
  'list sys': () => fs.readdirSync('/sys').length === 0 ? 'empty' : undefined,
  'list cgroups': () => fs.readdirSync('/sys/fs/cgroup').length === 0 ? 'empty' : undefined,
});
