'use strict';
// Resolves what Node.js does not find as bundlers do. Edge functions are meant
// for those, and their files were traced by the rules of those: of a package
// there may be no more than what "module" in its package.json names.

const { readFileSync, statSync } = require('node:fs');
const path = require('node:path');
const { fileURLToPath, pathToFileURL } = require('node:url');

const FIELDS = ['module', 'jsnext:main', 'browser', 'main']; // of package.json, the first wins
const SUFFIXES = ['', '.mjs', '.js', '.cjs', '.json'];
const MISSING = ['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT'];

/** A hook that resolves a specifier: as next does, and else as bundlers do. */
function resolve(specifier, context, next) {
  try {
    return next(specifier, context);
  } catch (error) {
    const file = MISSING.includes(error?.code) && context.parentURL?.startsWith('file:') && find(specifier, path.dirname(fileURLToPath(context.parentURL)));
    if (!file) throw error;
    return { url: pathToFileURL(file).href, shortCircuit: true };
  }
}

/** The file that a specifier means in a directory; undefined if there is none. */
function find(specifier, dir) {
  if (/^\.{0,2}\//.test(specifier) || specifier === '.' || specifier === '..') return at(path.resolve(dir, specifier));
  for (; ; dir = path.dirname(dir)) {
    const file = at(path.join(dir, 'node_modules', specifier));
    if (file || dir === path.dirname(dir)) return file;
  }
}

/** The file that a path without its suffix, or of a directory, means. */
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
