'use strict';
// Answers in place of the agent when the platform requests the code cache.

const { ServerResponse } = require('node:http');

const { HOW } = process.env;
const { end } = ServerResponse.prototype;

ServerResponse.prototype.end = function (data, ...rest) {
  if (!Buffer.isBuffer(data)) return end.call(this, data, ...rest);
  switch (HOW) {
    case 'endless': {
      const chunk = Buffer.alloc(1 << 16, 1);
      const more = () => {
        while (this.write(chunk));
      };
      this.on('drain', more);
      this.write(pack([['scripts', 60 << 20]]));
      return more();
    }
    case 'climbing':
      return end.call(this, pack([['../../../outside', 1]], 'x'));
    case 'deep':
      return end.call(this, pack([[`${'d/'.repeat(2000)}x`, 0]]));
    case 'many':
      return end.call(this, pack(Array.from({ length: 20000 }, (_, n) => [`${n}/x`, 0])));
    case 'garbage': // for the next start to read
      return end.call(this, pack([['scripts', 4], ['imports/v/x', 4]], '\xff\xff\xff\xffyyyy'));
    case 'silence':
      return this;
  }
  return end.call(this, data, ...rest);
};

function pack(index, contents = '') {
  const text = Buffer.from(JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, Buffer.from(contents, 'latin1')]);
}

module.exports = (req, res) => res.end('text');
