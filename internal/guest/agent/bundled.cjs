'use strict';
// Resolves the modules that Node.js does not find, by the rules of bundlers. Edge
// functions are written for bundlers, and bundlers traced their files: of a package,
// only the file that "module" in its package.json names may be present.

const { readFileSync, statSync } = require('node:fs');
const path = require('node:path');
const { fileURLToPath, pathToFileURL } = require('node:url');

const FIELDS = ['module', 'jsnext:main', 'browser', 'main']; // of package.json, the first wins
const SUFFIXES = ['', '.mjs', '.js', '.cjs', '.json'];
const MISSING = ['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT'];

/** A hook that resolves a specifier: as next does, or by the rules of bundlers if next fails. */
function resolve(specifier, context, next) {
  try {
    return next(specifier, context);
  } catch (error) {
    const file = MISSING.includes(error?.code) && context.parentURL?.startsWith('file:') && find(specifier, path.dirname(fileURLToPath(context.parentURL)));
    if (!file) throw error;
    return { url: pathToFileURL(file).href, shortCircuit: true };
  }
}

/** Returns the file to which a specifier resolves in a directory; undefined if there is none. */
function find(specifier, dir) {
  if (/^\.{0,2}\//.test(specifier) || specifier === '.' || specifier === '..') return at(path.resolve(dir, specifier));
  for (; ; dir = path.dirname(dir)) {
    const file = at(path.join(dir, 'node_modules', specifier));
    if (file || dir === path.dirname(dir)) return file;
  }
}

/** Returns the file for a path without its suffix or for a directory. */
function at(base) {
  return fileAt(base) ?? fields(base).map((name) => fileAt(path.resolve(base, name))).find(Boolean) ?? fileAt(path.join(base, 'index'));
}

function fileAt(base) {
  return SUFFIXES.map((suffix) => base + suffix).find((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

/** Returns the main files that the package.json of a directory names. */
function fields(dir) {
  try {
    const description = JSON.parse(readFileSync(path.join(dir, 'package.json'), 'utf8'));
    return description.exports === undefined ? FIELDS.map((name) => description[name]).filter((name) => typeof name === 'string') : [];
  } catch {
    return [];
  }
}

module.exports = { resolve };
