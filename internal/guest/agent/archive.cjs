'use strict';
// The code cache of a function: the compiled code of its modules, taken when they
// were warm, and the files to which its requires were resolved. A later process
// reads it instead of compiling.
//
//   scripts   of CommonJS modules: the length of an index, the index as JSON
//             { root, tag, files: { path: [offset, length] }, paths: { "dir\0request": path } },
//             the code caches; paths are relative to the root
//   imports   of ECMAScript modules: a directory of Node's own compile cache
//
// A code cache is valid for one version and build of V8 and one set of its flags,
// which the tag identifies.

const { Buffer } = require('node:buffer');
const fs = require('node:fs');
const module_ = require('node:module');
const { tmpdir } = require('node:os');
const path = require('node:path');
const vm = require('node:vm');
const { cachedDataVersionTag } = require('node:v8');

const { Module } = module_;
const HEAD = '(function (exports, require, module, __filename, __dirname) { ';
const TAIL = '\n});';
const MAX_BYTES = 48 << 20; // of a code cache

const builtins = new Set(module_.builtinModules);
const compile = Module.prototype._compile;
const resolve = Module._resolveFilename;

/** The tag of the code caches that this process writes. */
function tag() {
  return cachedDataVersionTag().toString(16);
}

/** The modules of a function, compiled from a code cache or in order to produce one. */
class Modules {
  /**
   * @param {string} root absolute path of the function's files
   * @param {{files: object, paths: object}} index of the code cache that exists
   * @param {Buffer} [caches] its content; if absent, a code cache is to be produced
   * @param {() => void} reject called when the code cache cannot be used
   */
  constructor(root, index, caches, reject) {
    this.prefix = root + path.sep;
    this.index = index;
    this.caches = caches;
    this.reject = reject;
    this.scripts = caches ? undefined : new Map();
  }

  /** Replaces the resolution and the compilation of CommonJS modules. */
  install() {
    const modules = this;
    Module.prototype._compile = function (content, filename, format) {
      const script = modules.takes(content, filename, format) && modules.script(content, filename);
      return script ? modules.run(this, script, filename) : compile.call(this, content, filename, format);
    };
    Module._resolveFilename = function (request, parent, isMain, options) {
      if (options || !parent?.filename?.startsWith(modules.prefix) || builtins.has(request) || request.startsWith('node:')) {
        return resolve.call(this, request, parent, isMain, options);
      }
      return modules.resolve(request, parent, isMain);
    };
  }

  /**
   * Reports whether this class compiles a module. Node.js compiles ECMAScript
   * modules, modules whose source map is in use, and modules that the code cache
   * lacks.
   */
  takes(content, filename, format) {
    return (this.scripts || filename.slice(this.prefix.length) in this.index.files) && (format === undefined || format === null || format === 'commonjs') && !filename.endsWith('.mjs') &&
      filename.startsWith(this.prefix) && !(process.sourceMapsEnabled && content.includes('//# sourceMappingURL='));
  }

  /** Returns a module's code; undefined if it is not CommonJS after all, so that Node.js handles it. */
  script(content, filename) {
    const [start, length] = this.index.files[filename.slice(this.prefix.length)] ?? [];
    const options = {
      filename, columnOffset: -HEAD.length,
      cachedData: this.caches?.subarray(start, start + length),
      importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    };
    try {
      const script = new vm.Script(HEAD + (content.startsWith('#!') ? '//' : '') + content + TAIL, options);
      if (script.cachedDataRejected) this.reject();
      this.scripts?.set(filename, script);
      return script;
    } catch {
      return undefined;
    }
  }

  run(module, script, filename) {
    const function_ = script.runInThisContext();
    return function_.call(module.exports, module.exports, requireOf(module), module, filename, path.dirname(filename));
  }

  resolve(request, parent, isMain) {
    const key = `${path.dirname(parent.filename).slice(this.prefix.length)}\0${request}`;
    const known = this.index.paths[key];
    if (known !== undefined) return this.prefix + known;
    const found = resolve.call(Module, request, parent, isMain);
    if (this.scripts && found.startsWith(this.prefix)) this.index.paths[key] = found.slice(this.prefix.length);
    return found;
  }

  /** The code cache of the compiled modules, lazily compiled functions included. */
  pack() {
    const caches = [];
    let size = 0;
    for (const [filename, script] of this.scripts) {
      const data = script.createCachedData();
      this.index.files[filename.slice(this.prefix.length)] = [size, data.length];
      size += data.length;
      caches.push(data);
    }
    const index = Buffer.from(JSON.stringify({ root: this.prefix, tag: tag(), ...this.index }));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(index.length);
    return Buffer.concat([length, index, ...caches]);
  }
}

/** Returns the require function of a module, as Node.js creates it. */
function requireOf(module) {
  const require = (id) => module.require(id);
  require.resolve = (request, options) => Module._resolveFilename(request, module, false, options);
  require.resolve.paths = (request) => Module._resolveLookupPaths(request, module);
  require.main = process.mainModule;
  require.extensions = Module._extensions;
  require.cache = Module._cache;
  return require;
}

/**
 * Uses a code cache from now on. A damaged one is rejected and not used.
 * @param {{dir: string, scripts: boolean, imports: boolean}} archive
 */
function use(archive, root, reject) {
  let rejected = false;
  const once = () => {
    if (!rejected) reject();
    rejected = true;
  };
  try {
    if (archive.scripts) {
      const bytes = fs.readFileSync(path.join(archive.dir, 'scripts'));
      const start = 4 + bytes.readUInt32LE(0);
      const index = JSON.parse(bytes.utf8Slice(4, start));
      if (index.root !== root + path.sep || index.tag !== tag()) throw new Error('it is for others');
      new Modules(root, index, bytes.subarray(start), once).install();
    }
    if (archive.imports) useImports(path.join(archive.dir, 'imports'));
  } catch {
    once();
  }
}

/** Enables Node's compile cache. Node.js separates caches by user, and these processes run as different users. */
function useImports(dir) {
  const [made] = fs.readdirSync(dir);
  const wanted = made.replace(/\d+$/, process.getuid());
  if (wanted !== made) {
    const links = fs.mkdtempSync(path.join(tmpdir(), 'imports-'));
    fs.symlinkSync(path.join(dir, made), path.join(links, wanted));
    dir = links;
  }
  module_.enableCompileCache(dir);
}

let recording; // { modules, imports }: the contents of the next code cache

/** Starts recording the contents of a code cache. */
function record(root) {
  const imports = fs.mkdtempSync(path.join(tmpdir(), 'imports-'));
  recording = { modules: new Modules(root, { files: {}, paths: {} }, undefined, () => {}), imports };
  recording.modules.install();
  module_.enableCompileCache(imports);
}

/**
 * Returns the recorded content for the supervisor: the length of an index, the index
 * as JSON [[name, length]…], the files one after the other.
 */
function pack() {
  const files = [];
  if (recording.modules.scripts.size > 0) files.push(['scripts', recording.modules.pack()]);
  module_.flushCompileCache();
  for (const name of fs.readdirSync(recording.imports, { recursive: true })) {
    const file = path.join(recording.imports, name);
    if (fs.statSync(file).isFile()) files.push([path.join('imports', name), fs.readFileSync(file)]);
  }
  const index = Buffer.from(JSON.stringify(files.map(([name, bytes]) => [name, bytes.length])));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(index.length);
  const bytes = Buffer.concat([length, index, ...files.map(([, bytes]) => bytes)]);
  return bytes.length > MAX_BYTES ? Buffer.from([2, 0, 0, 0, 0x5b, 0x5d]) : bytes; // too long: no files
}

module.exports = { use, record, pack, tag };
