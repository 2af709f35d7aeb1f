'use strict';
// Forges messages of the agent on the control socket, also in the names of others.

const { writeSync } = require('node:fs');

const CONTROL = 3;

function send(bytes) {
  const buffer = Buffer.from(bytes);
  for (let at = 0; at < buffer.length;) {
    try {
      at += writeSync(CONTROL, buffer, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

const message = (type, payload) => send(`${JSON.stringify({ type, payload })}\0`);
const log = (text, context) => message('log', {
  context, message: Buffer.from(text).toString('base64'), level: 'error', stream: 'stderr', project: 'prj_neighbour', instance: 'ins_neighbour', request: 'req_neighbour',
});

module.exports = (req, res) => {
  switch (req.url) {
    case '/names': // of other instances, projects and requests
      log('forged', { invocationId: 'req_neighbour', requestId: 999999, instance: 'ins_neighbour', project: 'prj_neighbour' });
      for (let id = 0; id < 2000; id++) message('end', { context: { invocationId: 'req_neighbour', requestId: id }, error: { reason: 'failed', message: 'forged' } });
      for (const type of ['waiting', 'server-started', 'archive-rejected', 'activate', 'unheard-of', '']) message(type, {});
      return res.end('said');
    case '/flood':
      for (let n = 0; n < 50000; n++) log(`line ${n} ${'x'.repeat(100)}`, { invocationId: '', requestId: 0 });
      return res.end('said');
    case '/huge':
      send(`{"type":"log","payload":"${'x'.repeat(64 << 20)}"}\0`);
      return res.end('said');
    case '/endless':
      for (;;) send('x'.repeat(1 << 20));
    case '/malformed':
      send('{"type":"end","payload":\0\0\0not JSON at all\0');
      return res.end('said');
    case '/wrong':
      message('end', { context: 'a string', error: 7 });
      return res.end('said');
    case '/deep':
      send(`${'{"payload":'.repeat(100000)}1${'}'.repeat(100000)}\0`);
      return res.end('said');
    case '/lies': // false numbers, many times
      message('server-started', { initDuration: -1, httpPort: 65535, connects: true, silent: true });
      message('end', { context: { requestId: 18446744073709551615 }, error: null });
      message('purge', { tags: Array.from({ length: 1000 }, (_, n) => `tag-${n}`), expire: -1e308 });
      return res.end('said');
  }
  return res.end('quiet');
};
