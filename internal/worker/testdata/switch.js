const server = require('node:http').createServer((req, res) => res.end('refused'));
server.on('upgrade', (req, socket) => {
  if (req.headers.upgrade !== 'echo') return socket.end('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nrefused');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
  socket.on('data', (chunk) => socket.write(`echo ${chunk}`));
});
server.listen(3000);
