'use strict';
// Edge functions: the web-standard API and a handful of Node.js modules.
//
// They run in the main realm, not in a context of node:vm. An instance runs one
// function, so no separation is needed, and a second realm would have its own
// Error, Uint8Array, Object and Promise: the results of fetch, TextEncoder and
// response.json() would not be instances of the classes that the code has under
// those names, and bundles check that. Instead, Node's own API is removed, so that
// code behaves as it does on other edge runtimes: its globals are deleted, and a
// module hook admits the allowed modules only. This is for compatibility; isolation
// of hostile code is the purpose of the sandbox.

const { Buffer } = require('node:buffer');
const { readFileSync } = require('node:fs');
const module_ = require('node:module');
const path = require('node:path');
const { fileURLToPath, pathToFileURL } = require('node:url');
const { compileFunction } = require('node:vm');
const { resolve } = require('./bundled.cjs');
const { contextOf } = require('./context.cjs');
const { WebHandler } = require('./web.cjs');

const ALLOWED = ['async_hooks', 'events', 'buffer', 'assert', 'util'];
const CONDITIONS = ['edge-light', 'workerd', 'worker']; // besides those of Node.js, in package.json's exports
const ASSIGNS = /\bexports\b/; // in a file that may be CommonJS
const WASM = Symbol.for('lateen.wasm'); // the property from which modules for .wasm files read their content
// Buffer stays, as in the edge runtimes of others; setImmediate stays because Node's own fetch calls it.
const ABSENT = ['global', 'process', 'navigator', 'Navigator', 'localStorage', 'sessionStorage', 'Storage'];

// The modules that the code may require; loaded before the globals are removed.
const builtins = Object.fromEntries(ALLOWED.map((name) => [name, require('node:' + name)]));

class EdgeHandler {
  static async load(entry, spec) {
    const handler = new EdgeHandler();
    const script = isScript(entry);
    install(entry, spec, script);
    const exported = script ? module_.createRequire(entry)(entry) : await import(pathToFileURL(entry).href);
    const function_ = typeof exported.default === 'function' ? exported.default : exported.default ?? exported;
    if (typeof function_ !== 'function' && !WebHandler.fits(function_)) {
      throw new Error(`${spec.handler} has neither a default export nor one named after an HTTP method`);
    }
    handler.web = new WebHandler(function_, spec);
    return handler;
  }

  /** Answers a call. An error fails the call, as an error of any other function does. */
  async handle(call, req, res) {
    contextOf(call);
    await this.web.handle(call, req, res);
  }
}

/**
 * Reports whether a file is CommonJS, as some compilers write edge functions: it
 * assigns its exports, and has no syntax that only ECMAScript modules have.
 */
function isScript(entry) {
  const source = readFileSync(entry, 'utf8');
  if (!ASSIGNS.test(source)) return false;
  try {
    compileFunction(source, ['exports', 'require', 'module', '__filename', '__dirname']);
    return true;
  } catch {
    return false;
  }
}

/** Replaces Node's API in this process by the web-standard one, permanently. */
function install(entry, spec, script) {
  const assets = new Map((spec.assets ?? []).map(({ name, path: file }) => [name, path.join(spec.root, file)]));
  module_.registerHooks(hooks(entry, script ? 'commonjs' : 'module'));
  const real = { setTimeout, setInterval, fetch };
  for (const name of ABSENT) delete globalThis[name];
  const events = new EventTarget();
  Object.assign(globalThis, {
    self: globalThis,
    AsyncLocalStorage: builtins.async_hooks.AsyncLocalStorage,
    EdgeRuntime: 'edge-runtime',
    process: { env: { NODE_ENV: 'production', ...spec.env } },
    // Timers are numbers, as everywhere on the web.
    setTimeout: (...args) => Number(real.setTimeout(...args)),
    setInterval: (...args) => Number(real.setInterval(...args)),
    fetch: (input, init) => (isAsset(input, assets) ? fetchAsset(input, assets) : real.fetch(input, streaming(init))),
    // Of the same class as the Request of a call, so that instanceof holds for both.
    Request: new Proxy(Request, {
      construct: (target, [input, init], made) => Reflect.construct(target, [input, streaming(init)], made),
    }),
    require: (id) => requireAllowed(id, spec.root, assets),
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
    dispatchEvent: events.dispatchEvent.bind(events),
  });
  // Node's own fetch uses the same setTimeout and expects an object with unref.
  Object.defineProperty(Number.prototype, 'unref', { value() { return this.valueOf(); }, configurable: true, writable: true });
  globalThis[WASM] = compile;
}

/** Returns the hooks that restrict the imports of the function's modules. */
function hooks(entry, format) {
  const entryURL = pathToFileURL(entry).href;
  return {
    resolve(specifier, context, next) {
      if (specifier.endsWith('.wasm?module')) {
        return { ...next(specifier.slice(0, -'?module'.length), context), format: 'module' };
      }
      if (module_.isBuiltin(specifier)) {
        if (!ALLOWED.includes(specifier.replace(/^node:/, ''))) throw refused(specifier);
        return next(specifier, context);
      }
      return resolve(specifier, { ...context, conditions: [...CONDITIONS, ...context.conditions] }, next);
    },
    load(url, context, next) {
      if (url.endsWith('.wasm')) {
        const source = `export default globalThis[Symbol.for('lateen.wasm')](${JSON.stringify(fileURLToPath(url))});`;
        return { source, format: 'module', shortCircuit: true };
      }
      return next(url, url === entryURL ? { ...context, format } : context);
    },
  };
}

function refused(specifier) {
  return new Error(`the edge runtime does not have the Node.js module '${specifier}'`);
}

function compile(file) {
  return new WebAssembly.Module(readFileSync(file));
}

/** The global require of bundles: allowed modules, and WebAssembly by path or asset name. */
function requireAllowed(id, root, assets) {
  const name = id.replace(/^node:/, '');
  if (Object.hasOwn(builtins, name)) return builtins[name];
  if (id.endsWith('.wasm')) return compile(assets.get(id) ?? path.join(root, path.posix.join('/', id)));
  throw refused(id);
}

/** Adds the option that Node.js requires for a body that is a stream; other edge runtimes do not require it. */
function streaming(init) {
  if (init?.body === null || init?.body === undefined || init.duplex !== undefined) return init;
  return Object.create(init, { duplex: { value: 'half' } });
}

/** Assets are fetched as blob:name. */
function isAsset(input, assets) {
  const url = String(input?.url ?? input);
  return url.startsWith('blob:') && assets.has(url.slice('blob:'.length));
}

async function fetchAsset(input, assets) {
  const file = assets.get(String(input?.url ?? input).slice('blob:'.length));
  return new Response(new Uint8Array(Buffer.from(readFileSync(file))));
}

module.exports = { EdgeHandler };
