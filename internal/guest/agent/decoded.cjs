'use strict';
// Bodies that fetch has decoded. The header of a fetched response still names
// the coding and the length that the body had on the network (Fetch standard,
// section 4.6). A response made of it must not repeat them.

const { Buffer } = require('node:buffer');
const zlib = require('node:zlib');

const PROBE = 4096; // bytes of a body that show whether it is encoded
const flushed = { finishFlush: zlib.constants.Z_SYNC_FLUSH };
const DECODERS = new Map([
  ['gzip', (bytes) => zlib.gunzipSync(bytes, flushed)],
  ['x-gzip', (bytes) => zlib.gunzipSync(bytes, flushed)],
  ['deflate', (bytes) => ((bytes[0] & 0x0f) === 8 ? zlib.inflateSync : zlib.inflateRawSync)(bytes, flushed)],
  ['br', (bytes) => zlib.brotliDecompressSync(bytes, { finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH })],
]);
// Versions of Node.js without it do not decode it in fetch, either.
if (zlib.zstdDecompressSync) {
  DECODERS.set('zstd', (bytes) => zlib.zstdDecompressSync(bytes, { finishFlush: zlib.constants.ZSTD_e_flush }));
}
const bodies = new WeakSet(); // of fetched responses, which are decoded

/** Makes fetch record the bodies that it decodes. */
function install() {
  const real = globalThis.fetch;
  globalThis.fetch = Object.assign(function fetch(input, ...rest) {
    return real(input, ...rest).then(note);
  }, real);
}

function note(response) {
  const { body } = response;
  const names = codings(response.headers);
  if (body && names.length > 0 && names.every((name) => DECODERS.has(name))) bodies.add(body);
  return response;
}

/** The codings of a body, in the order in which they were applied. */
function codings(headers) {
  const value = headers.get('content-encoding');
  return value ? value.toLowerCase().split(',').map((name) => name.trim()) : [];
}

/** Reports whether fetch is known to have decoded a body, without reading it. */
function isDecoded(body) {
  return bodies.has(body);
}

/**
 * The decoder of the coding that was applied last to the body of a response with
 * these headers; undefined where there is none.
 */
function decoderOf(headers) {
  return DECODERS.get(codings(headers).at(-1));
}

/** Whether bytes, the first of a body, are encoded in the decoder's coding. */
function isEncoded(decoder, bytes) {
  try {
    decoder(Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, PROBE)));
    return true;
  } catch {
    return false;
  }
}

module.exports = { install, isDecoded, decoderOf, isEncoded };
