// What the functions of an app have declared.
'use strict';

const KINDS = ['op', 'event', 'handler', 'hook', 'timer', 'provider'];

class Registry {
  constructor() {
    this.declarations = Object.fromEntries(KINDS.map((kind) => [kind, []]));
    this.functions = Object.fromEntries(KINDS.map((kind) => [kind, new Map()])); // of an event: a list
    this.hookTypes = new Map();
    this.assets = new Map();
    this.file = ''; // that is being loaded
  }

  copy() {
    return {
      declarations: Object.fromEntries(KINDS.map((kind) => [kind, [...this.declarations[kind]]])),
      functions: Object.fromEntries(KINDS.map((kind) => [kind, new Map(this.functions[kind])])),
      hookTypes: new Map(this.hookTypes),
      assets: new Map(this.assets),
    };
  }

  restore(copy) { Object.assign(this, copy); }

  _declare(kind, declared, key = 'name') {
    const others = this.declarations[kind].filter((other) => other[key] !== declared[key]);
    if (others.length < this.declarations[kind].length) console.warn(`${kind} ${declared[key]} is declared again; the last one counts`);
    this.declarations[kind] = [...others, declared];
  }

  registerOp(name, func, {keyRequired, userRequired} = {}) {
    this._declare('op', {name, key_required: Boolean(keyRequired), user_required: Boolean(userRequired)});
    this.functions.op.set(name, func);
  }

  registerEvent(name, func) {
    const list = this.functions.event.get(name) ?? [];
    if (list.length === 0) this._declare('event', {name});
    this.functions.event.set(name, [...list, func]);
  }

  registerHook(name, func, options) {
    if (!options.type) throw new Error('a hook needs a record type');
    if (!options.trigger) throw new Error('a hook needs a trigger');
    this._declare('hook', {name, type: options.type, trigger: options.trigger, async: Boolean(options.async)});
    this.functions.hook.set(name, func);
    this.hookTypes.set(name, options.type);
  }

  registerTimer(name, func, options) {
    this._declare('timer', {name, spec: options.spec});
    this.functions.timer.set(name, func);
  }

  registerHandler(name, func, {method, keyRequired, userRequired} = {}) {
    const methods = method ?? ['GET', 'POST', 'PUT'];
    const without = (one) => one.name === name ? {...one, methods: one.methods.filter((m) => !methods.includes(m))} : one; // the last one counts
    this.declarations.handler = this.declarations.handler.map(without).filter((one) => one.methods.length > 0);
    this.declarations.handler.push({name, methods: [...methods], key_required: Boolean(keyRequired), user_required: Boolean(userRequired)});
    const byMethod = new Map(this.functions.handler.get(name));
    for (const one of methods) byMethod.set(one, func);
    this.functions.handler.set(name, byMethod);
  }

  registerProvider(type, id, provider, options) {
    this._declare('provider', {...options, type, id}, 'id');
    this.functions.provider.set(id, provider);
  }

  registerAsset(mountPoint, func) { this.assets.set(mountPoint, {func, file: this.file}); }

  getFunc(kind, name) { return this.functions[kind].get(name); }

  // getHandler finds the handler of a name, which may have parts like /:id.
  getHandler(name, method) {
    for (const [pattern, byMethod] of this.functions.handler) {
      const expression = pattern.split(/\/:[^/]+/).map(escape).join('/[^/]+');
      if (new RegExp(`^${expression}$`).test(name)) return byMethod.get(method);
    }
    return undefined;
  }

  // staticFolder is what the server is told of a folder of files.
  async staticFolder(mountPoint) {
    const dir = await this.assets.get(mountPoint).func();
    if (typeof dir !== 'string') throw new TypeError(`staticAsset('${mountPoint}') must return the path of a folder`);
    return {prefix: mountPoint.replace(/^\/+|\/+$/g, ''), dir};
  }
}

function escape(text) { return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'); }

module.exports = {registry: new Registry(), Registry};
