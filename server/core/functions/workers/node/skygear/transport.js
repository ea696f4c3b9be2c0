// Runs what the server calls.
'use strict';
const querystring = require('querystring');
const sdk = require('crema/sdk.js');
const {registry} = require('crema/skygear/registry.js');
const {getContainer} = require('crema/skygear/container.js');

// SkygearRequest is the request of an HTTP handler.
class SkygearRequest {
  constructor(param) {
    this.headers = param.header;
    this.method = param.method;
    this.path = param.path;
    this.queryString = param.query_string;
    this.rawBody = Buffer.from(param.body || '', 'base64');
    this.body = this.rawBody.toString('utf8');
    // The parts that Node's url.parse gives of such a URL.
    const search = this.queryString ? '?' + this.queryString : '';
    this.url = {
      protocol: null, slashes: null, auth: null, host: null, port: null, hostname: null, hash: null,
      search, query: querystring.parse(this.queryString), pathname: this.path, path: this.path + search, href: this.path + search,
    };
  }

  get query() { return this.url.query; }

  get json() { return JSON.parse(this.body); }

  // form calls back with the fields of a form, and no files.
  form(callback) {
    const type = Object.entries(this.headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1][0] ?? '';
    new Response(this.rawBody, {headers: {'Content-Type': type}}).formData().then((data) => {
      const fields = {}, files = {};
      for (const [name, value] of data) (typeof value === 'string' ? fields : files)[name] = value;
      callback(null, fields, files);
    }, (cause) => callback(cause));
  }
}

// SkygearResponse is an answer with a status and headers.
class SkygearResponse {
  constructor({statusCode = 200, body = '', headers = {}} = {}) {
    Object.assign(this, {statusCode, body, headers, _isSkygearResponse: true});
  }

  setHeader(name, value) { this.headers[name] = value; }
  getHeader(name) { return this.headers[name]; }
  removeHeader(name) { delete this.headers[name]; }
  write(chunk) { this.body += chunk; }

  toResultJSON() {
    return {
      status: this.statusCode || 200,
      header: Object.fromEntries(Object.entries(this.headers).map(([name, value]) => [name, [value].flat().map(String)])),
      body: Buffer.from(this.body).toString('base64'),
    };
  }

  static isInstance(value) { return value instanceof SkygearResponse || Boolean(value?._isSkygearResponse); }

  static wrap(value) {
    if (SkygearResponse.isInstance(value)) return value;
    const text = typeof value === 'string';
    return new SkygearResponse({
      body: text ? value : JSON.stringify(value), headers: {'Content-Type': text ? 'text/plain; charset=utf-8' : 'application/json'},
    });
  }
}

// pool is the app's database through the package pg, which an app that uses it depends on.
let connected;
const pool = new Proxy({}, {
  get(_, name) {
    if (!connected) {
      const {Pool} = require('module').createRequire(process.cwd() + '/crema.js')('pg');
      connected = new Pool({connectionString: process.env.DATABASE_URL});
    }
    const value = connected[name];
    return typeof value === 'function' ? value.bind(connected) : value;
  },
});

function find(kind, name) { return found(kind, name, registry.getFunc(kind, name)); }

function found(kind, name, func) {
  if (!func) throw new sdk.SkygearError(`there is no ${kind} ${name}`, sdk.ErrorCodes.UndefinedOperation);
  return func;
}

// options are what a function gets beside its arguments. Few use the container, so it is made when it is asked for.
function options(context) {
  let made;
  return {
    context,
    get container() { return made ??= getContainer(context?.user_id); },
    set container(other) { made = other; },
  };
}

const kinds = {
  op({name, param, context}) {
    const value = find('op', name)(sdk.fromJSON(param), options(context));
    return typeof value?.then === 'function' ? Promise.resolve(value).then(sdk.toJSON) : sdk.toJSON(value);
  },
  async hook({name, param, context}) {
    const func = find('hook', name), type = registry.hookTypes.get(name);
    const record = new sdk.Record(type, param.record);
    const original = param.original ? new sdk.Record(type, param.original) : null;
    return (await func(record, original, pool, options(context)) || record).toJSON();
  },
  async handler({name, param, context}) {
    const func = found('handler', name, registry.getHandler(name, param.method));
    const answer = await func(new SkygearRequest(param), options(context));
    return SkygearResponse.wrap(answer).toResultJSON();
  },
  async timer({name, param}) {
    return await find('timer', name)(param);
  },
  async event({name, param}) {
    const results = await Promise.all((registry.getFunc('event', name) ?? []).map(async (func) => func(param)));
    return results.length > 1 ? results : results[0] ?? null;
  },
  async provider({name, param}) {
    return await find('provider', name).handleAction(param.action, param);
  },
};

// tell tells this process something. What fails is logged.
async function tell(name, param) {
  try {
    await kinds.event({name, param});
  } catch (cause) {
    console.error(`the event ${name} failed:`, cause);
  }
}

// dispatch runs one call and gives its result, or a promise of it.
function dispatch(call) {
  return kinds[call.kind](call);
}

module.exports = {SkygearRequest, SkygearResponse, dispatch, pool, tell};
