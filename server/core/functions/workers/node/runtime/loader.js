// Loads the app's files and tells what they registered.
'use strict';
const fs = require('fs');
const Module = require('module');
const path = require('path');
const url = require('url');
const {registry} = require('crema/skygear/registry.js');
const {tell} = require('crema/skygear/transport.js');

const packages = {'skygear': 'skygear/client.js', 'skygear/cloud': 'skygear/cloud.js', 'skygear-core': 'skygear/client.js'};

// hold makes require and import take the app's files as they were when the pool was opened. It returns them by URL.
function hold(dir, code) {
  const texts = new Map(), byURL = {};
  for (const [name, text] of Object.entries(code || {})) {
    const file = path.join(fs.realpathSync(dir), name);
    texts.set(file, Buffer.from(text, 'base64'));
    byURL[url.pathToFileURL(file).href] = texts.get(file).toString();
  }
  for (const suffix of ['.js', '.json']) {
    const run = Module._extensions[suffix];
    Module._extensions[suffix] = function (module, file) {
      if (!texts.has(file)) return run(module, file);
      const read = fs.readFileSync;
      fs.readFileSync = (name, options) => {
        if (name !== file) return read(name, options);
        const encoding = typeof options === 'string' ? options : options?.encoding;
        return encoding ? texts.get(file).toString(encoding) : Buffer.from(texts.get(file));
      };
      try {
        return run(module, file);
      } finally {
        fs.readFileSync = read;
      }
    };
  }
  return byURL;
}

// adopt makes require and import find the runtime's own packages, whatever the app has installed.
function adopt(texts) {
  const found = Module._load;
  Module._load = function (request, ...more) {
    return Object.hasOwn(packages, request) ? require('crema/' + packages[request]) : found.call(this, request, ...more);
  };
  if (typeof Module.register !== 'function') return; // ES modules find them from Node 20.6 on
  const modules = {};
  globalThis[Symbol.for('crema.packages')] = {};
  for (const name of Object.keys(packages)) {
    const value = require('crema/' + packages[name]);
    globalThis[Symbol.for('crema.packages')][name] = value;
    const names = Object.keys(value).filter((key) => /^[A-Za-z_]\w*$/.test(key) && key !== 'default');
    modules[name] = 'data:text/javascript,' + encodeURIComponent(
      `const all = globalThis[Symbol.for('crema.packages')]['${name}'];\nexport default all;\n` +
      names.map((key) => `const _${key} = all.${key}; export {_${key} as ${key}};`).join('\n'));
  }
  Module.register('data:text/javascript,' + encodeURIComponent(
    `let texts = {};
     export function initialize(given) { texts = given; }
     const modules = ${JSON.stringify(modules)};
     export async function resolve(name, context, next) {
       return Object.hasOwn(modules, name) ? {url: modules[name], shortCircuit: true} : next(name, context);
     }
     export async function load(url, context, next) {
       const source = texts[url];
       const format = context.format ?? (/^\\s*(import|export)\\b/m.test(source) ? 'module' : '');
       if (source === undefined || format !== 'module' && format !== 'json') return next(url, context);
       return {format, source, shortCircuit: true};
     }`), {data: texts});
}

async function load({dir, files, code, entry, settings = {config: {}}}) {
  require('crema/runtime/sandbox.js').apply();
  adopt(hold(dir, code));
  process.chdir(dir);
  const cloud = require('crema/skygear/cloud.js');
  Object.assign(cloud.skyconfig, settings.config);
  const require_ = Module.createRequire(path.join(dir, 'crema.js'));
  const problems = [];
  // attempt loads one file. When it fails, what it has registered stays out, and the next one is tried.
  const attempt = async (file, work) => {
    const before = registry.copy();
    registry.file = file;
    try {
      await work();
    } catch (cause) {
      registry.restore(before);
      problems.push(problem(dir, file, cause));
    }
  };
  for (const name of cloud.settings.loadModules) await attempt(name, () => cloud.configModule(name));
  for (const file of files) {
    await attempt(file, async () => {
      const found = await read(require_, path.join(dir, file));
      const includeme = found?.includeme ?? found?.default?.includeme;
      if (entry && typeof includeme === 'function') await includeme(cloud, {});
    });
  }
  for (const event of ['init', 'before-config', 'after-config']) await tell(event, settings);
  const fixed = [];
  for (const [mountPoint, {file}] of registry.assets) {
    try {
      fixed.push(await registry.staticFolder(mountPoint));
    } catch (cause) {
      problems.push(problem(dir, file, cause));
    }
  }
  return {...registry.declarations, static: fixed, problems, version: process.versions.node};
}

async function read(require_, file) {
  try {
    return require_(file);
  } catch (cause) {
    if (!isModule(cause)) throw cause;
    return await import(url.pathToFileURL(file).href);
  }
}

function problem(dir, file, cause) {
  const trace = cause instanceof Error ? cause.stack : String(cause);
  return {file, line: lineOf(trace, path.join(dir, file)), message: String(cause), trace};
}

// isModule says that require failed because the file is an ES module: it cannot read it, or it reads it without
// asking how the runtime's own packages are found.
function isModule(cause) {
  return cause?.code === 'ERR_REQUIRE_ESM' || cause?.code === 'ERR_MODULE_NOT_FOUND' && cause.message.includes("'skygear") ||
    /Cannot use import statement|Unexpected token 'export'/.test(cause?.message);
}

function lineOf(trace, file) {
  const at = trace.indexOf(file + ':');
  return at < 0 ? 0 : parseInt(trace.slice(at + file.length + 1), 10) || 0;
}

module.exports = {load};
