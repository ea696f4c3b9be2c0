// The package skygear/cloud: functions for the server. The names and their behaviour are those of skygear-node 1.7, so
// that code written for it runs unchanged.
'use strict';
const {createHash, createHmac} = require('crypto');
const sdk = require('crema/sdk.js');
const {registry} = require('crema/skygear/registry.js');
const {settings} = require('crema/skygear/settings.js');
const container = require('crema/skygear/container.js');
const {SkygearRequest, SkygearResponse, pool} = require('crema/skygear/transport.js');

const counts = new Map();

// nameOf gives hooks and timers a name of their own.
function nameOf(func) {
  const name = func.name || createHash('sha1').update(func.toString()).digest('hex');
  const count = counts.get(name) ?? 0;
  counts.set(name, count + 1);
  return count === 0 ? name : `${name}-${count}`;
}

function guarded({authRequired, ...options}) {
  return authRequired === undefined || options.keyRequired !== undefined ? options : {...options, keyRequired: authRequired};
}

function op(name, func, options = {}) { registry.registerOp(name, func, guarded(options)); }

function every(cron, func, options = {}) { registry.registerTimer(nameOf(func), func, {...options, spec: cron}); }

function event(name, func) { registry.registerEvent(name, func); }

function handler(path, func, options = {}) {
  const method = typeof options.method === 'string' ? [options.method] : options.method;
  registry.registerHandler(path, func, {...guarded(options), method});
}

function hook(name, func, options = {}) { registry.registerHook(name, func, options); }

function hookFor(trigger) {
  return (type, func, options = {}) => registry.registerHook(nameOf(func), func, {...options, type, trigger});
}

function provides(type, id, Provider, options = {}) { registry.registerProvider(type, id, new Provider(), options); }

function staticAsset(mountPoint, func) { registry.registerAsset(mountPoint, func); }

// BaseAuthProvider answers the three questions about an identity; write the methods in a subclass.
class BaseAuthProvider {
  async handleAction(action, param) {
    if (!['login', 'logout', 'info'].includes(action)) throw new Error(`a provider has no action ${action}`);
    return this[action](param);
  }

  async login() { throw new Error('this provider has no login'); }
  async logout() { throw new Error('this provider has no logout'); }
  async info() { throw new Error('this provider has no info'); }
}

// configModule lets a module declare its functions: it calls its includeme.
async function configModule(name, {ignoreWarning} = {}) {
  const {includeme} = require('module').createRequire(process.cwd() + '/crema.js')(name);
  if (includeme) await includeme(module.exports, {});
  else if (!ignoreWarning) console.warn(`the module ${name} has no function includeme`);
}

// poolConnect calls back with a connection to the app's database that has the app's tables in sight.
function poolConnect(callback) {
  pool.connect((err, client, done) => {
    if (err) return callback(err, client, done);
    const schema = `"app_${settings.appName.replace(/[.:]/g, '_').replace(/"/g, '""')}"`;
    return client.query(`SET search_path TO ${schema}, public`, (cause) => callback(cause ?? null, client, done));
  });
}

// getSigner makes something that signs the URLs of files, for the server, which gives them out.
function getSigner() {
  return {
    async sign(name) {
      const ends = String(Math.floor(Date.now() / 1000) + settings.assetStoreURLExpireDuration);
      const mac = createHmac('sha256', settings.assetStoreSecret).update(name).update(ends).digest('base64url');
      return `${settings.assetStoreURLPrefix}/${encodeURIComponent(name).replace(/%2F/g, '/')}?expiredAt=${ends}&signature=${mac}`;
    },
  };
}

// log makes a logger; its lines carry the name.
function log(name = 'plugin') {
  const at = (level, write) => (...parts) => write(`[${level}] ${name}:`, ...parts);
  return {
    trace: () => {}, debug: settings.debug ? at('debug', console.log) : () => {}, info: at('info', console.log),
    warn: at('warn', console.warn), error: at('error', console.error), fatal: at('fatal', console.error), child: () => log(name),
  };
}

module.exports = {
  op, every, event, handler, hook, provides, staticAsset, configModule, BaseAuthProvider, SkygearError: sdk.SkygearError, SkygearRequest, SkygearResponse, log, pool,
  beforeSave: hookFor('beforeSave'), afterSave: hookFor('afterSave'), beforeDelete: hookFor('beforeDelete'), afterDelete: hookFor('afterDelete'),
  poolConnect, getSigner, settings, skyconfig: {}, ErrorCodes: sdk.ErrorCodes, ...container,
};
module.exports.default = module.exports;
