'use strict';
// Functions in the style of AWS Lambda behind an API gateway: they take one complete
// event and return one complete result.

const { Buffer } = require('node:buffer');

class LambdaHandler {
  /** name is "file.export", of which the file is already loaded. */
  constructor(exported, name) {
    const symbol = name.slice(name.lastIndexOf('.') + 1);
    this.handler = exported[symbol] ?? exported.default?.[symbol];
    if (typeof this.handler !== 'function') throw new Error(`the function's entry does not export ${symbol}`);
  }

  async handle(call, req, res) {
    const event = await toEvent(req);
    write(res, await this.invoke(event, { awsRequestId: call.invocation, callbackWaitsForEmptyEventLoop: true }));
  }

  /** Calls the function, which returns a promise or calls the callback. */
  invoke(event, context) {
    return new Promise((resolve, reject) => {
      const callback = (error, result) => (error ? reject(error) : resolve(result));
      const returned = this.handler(event, context, callback);
      if (typeof returned?.then === 'function') returned.then(resolve, reject);
    });
  }
}

async function toEvent(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const { pathname, searchParams } = new URL(req.url, 'http://localhost');
  const multi = new Map(); // no object: a client may name a parameter like a property of every object
  for (const [name, value] of searchParams) multi.get(name)?.push(value) ?? multi.set(name, [value]);
  const single = [...multi].map(([name, values]) => [name, values.at(-1)]);
  return {
    resource: '/{proxy+}',
    path: pathname,
    httpMethod: req.method,
    headers: req.headers,
    multiValueHeaders: req.headersDistinct,
    queryStringParameters: Object.fromEntries(single),
    multiValueQueryStringParameters: Object.fromEntries(multi),
    body: Buffer.concat(chunks).toString('base64'),
    isBase64Encoded: true,
  };
}

function write(res, result) {
  const { statusCode, headers, multiValueHeaders, body, isBase64Encoded } = result ?? {};
  res.statusCode = statusCode ?? 200;
  for (const [name, value] of Object.entries({ ...headers, ...multiValueHeaders })) {
    if (value !== null && value !== undefined) res.setHeader(name, value);
  }
  const text = typeof body === 'string' ? body : JSON.stringify(body ?? undefined) ?? '';
  res.end(Buffer.from(text, isBase64Encoded ? 'base64' : 'utf8'));
}

module.exports = { LambdaHandler };
