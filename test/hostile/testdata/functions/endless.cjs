'use strict';
// Sends endless data: in the body, in the head, in log lines.

const { writeSync } = require('node:fs');

module.exports = (req, res) => {
  const chunk = Buffer.alloc(1 << 16, 'x');
  switch (req.url) {
    case '/body': {
      const more = () => {
        while (res.write(chunk));
      };
      res.on('drain', more);
      return more();
    }
    case '/slowly':
      res.write('begun');
      return setInterval(() => res.write('.'), 50);
    case '/head': {
      res.socket.write('HTTP/1.1 200 OK\r\n');
      const more = () => {
        while (!res.socket.destroyed && res.socket.write(`x-more: ${chunk}\r\n`));
      };
      res.socket.on('drain', more);
      return more();
    }
    case '/early': { // interim responses
      const more = () => {
        while (!res.socket.destroyed && res.socket.write('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'));
      };
      res.socket.on('drain', more);
      return more();
    }
    case '/trailers': {
      res.socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-more\r\n\r\n5\r\nbegun\r\n0\r\n');
      const more = () => {
        while (!res.socket.destroyed && res.socket.write(`x-more: ${chunk}\r\n`));
      };
      res.socket.on('drain', more);
      return more();
    }
    case '/chunk': { // with an endless size line
      res.socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;');
      const more = () => {
        while (!res.socket.destroyed && res.socket.write(chunk));
      };
      res.socket.on('drain', more);
      return more();
    }
    case '/switch': // to a protocol that the client did not request
      return res.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: hostile\r\n\r\n');
    case '/lies':
      return res.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\nshort', () => res.socket.destroy());
    case '/no-http':
      return res.socket.write('SSH-2.0-OpenSSH_9.9\r\n', () => res.socket.destroy());
    case '/twice':
      return res.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond');
    case '/lines':
      for (let n = 0; n < 1000;) {
        try {
          writeSync(2, chunk);
          n++;
        } catch (error) {
          if (error.code !== 'EAGAIN') throw error;
        }
      }
      return res.end('written');
  }
  return res.end('short');
};
