'use strict';
// The agent runs in a Node.js process beside the user code. It boots, warms up the
// modules that every function needs, and blocks in a read of the control socket
// without using CPU. A message then activates a function.
//
//   descriptor 3  control socket (control.cjs)
//   descriptor 4  the listening socket, made by the supervisor, for requests to
//                 the function; the supervisor opens the first connection

const http = require('node:http');
const process = require('node:process');
const archive = require('./archive.cjs');
const control = require('./control.cjs');
const calls = require('./call.cjs');
const { Call, NoResponse, PREFIX, run, complain } = calls;
const capture = require('./console.cjs');
const context = require('./context.cjs');
const data = require('./data.cjs');
const decoded = require('./decoded.cjs');
const delay = require('./delay.cjs');
const fault = require('./fault.cjs');
const { load } = require('./handler.cjs');
const length = require('./length.cjs');
const heap = require('./heap.cjs');
const hops = require('./hops.cjs');
const next = require('./next.cjs');
const template = require('./template.cjs');
const trust = require('./trust.cjs');
const uptime = require('./uptime.cjs');
const { WarmHandler, END, warm } = require('./warm.cjs');
const zygote = require('./zygote.cjs');

const LISTENER = 4;

let handler = new WarmHandler(); // until there is a function
let warmed; // settles when the warm-up is done; undefined unless it was requested

// The supervisor is the only client, and decides how long anything may take.
const server = http.createServer({
  connectionsCheckingInterval: 2 ** 31 - 1,
  headersTimeout: 0,
  keepAliveTimeout: 0,
  maxHeaderSize: 1 << 18,
  requestTimeout: 0,
});
server.maxHeadersCount = 0; // no limit: the edge limits the bytes, and the default of 1,000 would count the supervisor's fields
server.on('clientError', refuse);

server.on('request', (req, res) => {
  const call = new Call(req, res);
  if (call.operation !== undefined) return answer(call.operation, res);
  if (handler instanceof WarmHandler) {
    if (req.url !== END) warmed ??= warm();
    else res.once('close', () => Promise.resolve(warmed).then(() => run(undefined, waitForFunction)));
  }
  run(call, () => serve(call, req, res));
});

// A request with this method has no answer. One of the supervisor opens a channel.
server.on('connect', (req, socket, head) => {
  if (req.headers[`${PREFIX}operation`] === 'data') data.connected(socket, head);
  else socket.destroy();
});

/**
 * Answers a message that the parser rejects, such as one with an unknown method: it
 * has no call whose end would be reported to the supervisor.
 */
function refuse(error, socket) {
  if (socket.writable && !socket._httpMessage) {
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
    socket.write(`HTTP/1.1 ${status}\r\nconnection: close\r\n${PREFIX}failure: refused\r\n\r\n`);
  }
  socket.destroy(error);
}

/** Answers requests of the supervisor to the agent itself. */
async function answer(operation, res) {
  switch (operation) {
    case 'ping': return res.end();
    case 'archive': return res.end(archive.pack());
    case 'fork': {
      const refused = await template.check();
      res.setHeader('connection', 'close');
      if (refused) res.statusCode = 409;
      else res.once('close', () => setImmediate(() => run(undefined, () => template.serve(server))));
      return res.end(refused);
    }
  }
  res.statusCode = 404;
  return res.end();
}

async function serve(call, req, res) {
  try {
    await handler.handle(call, req, res);
  } catch (error) {
    if (error === fault.EXIT || (call.abort.signal.aborted && isAbort(error))) return;
    complain(error);
    call.fail(error, error instanceof NoResponse ? 'no-response' : 'failed');
  }
}

/** Reports whether an error means only that the client has disconnected. */
function isAbort(error) {
  return error?.name === 'AbortError' || error?.code === 'ECONNRESET';
}

/** Waits for a function and runs it. In a zygote, its children do so instead. */
function waitForFunction() {
  control.send('waiting', { version: process.version, tag: archive.tag() });
  const { type, payload } = control.receive();
  if (type === 'zygote') zygote.serve(server, payload, waitForFunction);
  else activate(payload).catch(fault.failed);
}

async function activate(spec) {
  const began = performance.now();
  uptime.restart();
  delay.restart();
  Object.assign(process.env, spec.env);
  process.chdir(spec.root);
  heap.setLimit(spec.memory);
  if (spec.sourceMaps) process.setSourceMapsEnabled(true);
  if (spec.archive) archive.use(spec.archive, spec.root, () => control.send('archive-rejected', {}));
  if (spec.record) archive.record(spec.root);
  if (spec.template) template.install(spec.template);
  handler = await load(spec);
  handler.whenUpgradable?.(() => server.on('upgrade', (req, socket, head) => {
    run(new Call(req, socket), () => handler.upgrade(req, socket, head));
  }));
  fault.loaded();
  if (spec.template) template.loaded();
  control.send('server-started', { initDuration: performance.now() - began });
  if (!spec.template) control.watch(); // a template's next message is for its children
}

calls.install();
capture.install();
context.install();
decoded.install();
heap.install();
hops.install();
length.install();
next.install();
fault.install();
trust.install();
server.listen({ fd: LISTENER });
