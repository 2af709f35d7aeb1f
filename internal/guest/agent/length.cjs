'use strict';
// The length of a response's body. The supervisor reads as many bytes as the header
// declares and takes the bytes after them for the next response of the connection
// (RFC 9112, section 6.3), so a body must not exceed its Content-Length. Node.js
// does not check this, and up to version 22 it writes the end of a chunked body
// before the pieces of it that cork holds back.

const { Buffer } = require('node:buffer');
const { ServerResponse } = require('node:http');

const { end } = ServerResponse.prototype;
const { _send } = ServerResponse.prototype; // takes the pieces of the body of a response, and '' to flush its head

const LENGTH = Symbol('the length of a response');

/** Makes responses with a Length count their bodies, and all responses send their corked data before their end. */
function install() {
  Object.defineProperty(ServerResponse.prototype, 'end', {
    configurable: true,
    writable: true,
    value: Object.assign(function (...args) {
      const { socket } = this;
      if (this.finished || this.writableCorked === 0) return end.apply(this, args);
      socket?.cork(); // both leave in one write
      try {
        while (this.writableCorked > 0) this.uncork();
        return end.apply(this, args);
      } finally {
        socket?.uncork();
      }
    }, end),
  });
  Object.defineProperty(ServerResponse.prototype, '_send', {
    configurable: true,
    writable: true,
    value(data, encoding, callback, bytes) {
      const piece = this[LENGTH] === undefined ? data : this[LENGTH].admit(data, encoding);
      return piece === data ? _send.call(this, data, encoding, callback, bytes) : _send.call(this, piece, undefined, callback);
    },
  });
}

/** Counts the body of one response, and cuts it at its Content-Length. */
class Length {
  constructor(res) {
    this.res = res;
    this.sent = 0; // bytes of the body
    this.cut = false; // whether there were more
    Object.defineProperty(res, LENGTH, { configurable: true, value: this }); // not shown where user code logs the response
  }

  /** Bytes the header declares; undefined where it declares none or there is no body. */
  get declared() {
    const { _contentLength: length, chunkedEncoding, _hasBody: body } = this.res;
    return Number.isInteger(length) && !chunkedEncoding && body ? length : undefined;
  }

  /** Returns the part of a piece that is within the declared length. */
  admit(data, encoding) {
    const { declared } = this;
    if (declared === undefined || data.length === 0) return data;
    const size = typeof data === 'string' ? Buffer.byteLength(data, encoding) : data.length;
    const room = declared - this.sent;
    this.sent += Math.min(size, room);
    if (size <= room) return data;
    this.cut = true;
    return Buffer.from(data, encoding).subarray(0, room);
  }

  /** The error of a response that has ended; undefined if it has its declared length. */
  get fault() {
    const { declared, sent } = this;
    if (declared === undefined || (sent === declared && !this.cut)) return undefined;
    return `the response's body is ${this.cut ? 'longer' : 'shorter'} than its Content-Length of ${declared} bytes`;
  }
}

module.exports = { install, Length };
