const after = () => globalThis[Symbol.for('@vercel/request-context')].get();

const handlers = {
  '/echo': (req, res) => req.pipe(res),
  '/trailers': (req, res) => {
    let text = '';
    req.on('data', (piece) => (text += piece));
    req.on('end', () => {
      res.writeHead(200, { Trailer: 'X-Sum' });
      res.write(text + ' ' + req.trailers['x-sum']);
      res.addTrailers({ 'X-Sum': 'of the response' });
      res.end();
    });
  },
  '/header': (req, res) => {
    const h = req.headers;
    res.setHeader('Set-Cookie', ['a=1', 'b=2']);
    res.setHeader('X-Latin', 'caf\xe9');
    res.end([req.url, h.host, Buffer.from(h['x-latin'], 'latin1').toString('hex'), h['x-twice'], h['user-agent'], h['x-lower'], h.cookie].join(' ').replace('  ', ' undefined '));
  },
  '/sized': (req, res) => {
    res.setHeader('Content-Length', 5);
    res.end('sized');
  },
  '/none': (req, res) => {
    res.statusCode = 204;
    res.end();
  },
  '/interim': (req, res) => {
    res.statusCode = 102;
    res.end();
  },
  '/hints': (req, res) => {
    res.writeEarlyHints({ link: '</a.css>; rel=preload' });
    res.end('final');
  },
  '/upload': async (req, res) => {
    try {
      for await (const piece of req) console.log('/upload got', piece.length);
      res.end('all');
    } catch (error) {
      console.log('/upload broke off');
      throw error;
    }
  },
  '/endless': (req, res) => {
    res.on('close', () => console.log('/endless closed'));
    res.write('begun');
  },
  '/silent': (req, res) => {
    res.on('close', () => console.log('closed'));
    console.log('silent');
  },
  '/throws': () => {
    throw new Error('thrown');
  },
  '/exits': () => process.exit(3),
  '/breaks': (req, res) => {
    res.write('begun');
    setImmediate(() => res.destroy(new Error('broken')));
  },
  '/slow': (req, res) => {
    if (req.url.includes('begun')) res.write('begun');
  },
  '/length': (req, res) => {
    let n = 0;
    req.on('data', (piece) => (n += piece.length));
    req.on('end', () => res.end(`${req.headers['content-length']} ${req.headers['transfer-encoding']} ${n}`));
  },
  '/flood': (req, res) => {
    const piece = Buffer.alloc(64 << 10);
    const more = () => { while (res.write(piece)); };
    res.on('drain', more);
    more();
  },
  '/ignores': (req, res) => res.write('ignored'),
  '/later': (req, res) => {
    res.end('response');
    after().waitUntil(new Promise((resolve) => setTimeout(resolve, 20)).then(() => console.log('after the response')));
  },
  '/burns': (req, res) => {
    const end = process.cpuUsage().user + 30_000;
    while (process.cpuUsage().user < end);
    res.end('burned');
  },
  '/purges': async (req, res) => {
    const { FetchCache } = globalThis[Symbol.for('@next/cache-handlers')];
    res.flushHeaders();
    await new FetchCache({ _requestHeaders: req.headers }).revalidateTag([new URL(req.url, 'http://x').searchParams.get('tag')]);
    res.end('purged');
  },
};
handlers['/single'] = handlers['/silent'];

module.exports = (req, res) => handlers[req.url.split('?')[0]](req, res);
