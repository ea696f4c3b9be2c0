/*
 * skygear.js: the browser client of a Crema server.
 *
 *   <script src="/sdk/skygear.js"></script>          global `skygear`
 *   import skygear from '/sdk/skygear.mjs';          the same object, as an ES module
 *
 *   await skygear.config({endPoint: 'https://shop.example/', apiKey: 'KEY'});
 *   const result = await skygear.lambda('process_payment', {product_name: 'Kenya AA'});
 *
 * It speaks the Skygear v1 wire, and its promises settle as those of the old SDK do:
 * - a 2xx answer resolves with the function's result (undefined when there is none);
 * - any other answer rejects with {status, error}, error being the server's {name, code, message, info};
 * - no answer (offline, refused, cut off, 60 s over) rejects with {status: undefined, error: Error}.
 *   The server may have done the work all the same: such a rejection never means "nothing happened".
 * It opens no websocket and keeps nothing in localStorage.
 */
(function (root) {
  'use strict';

  if (root.skygear instanceof Object && root.skygear.isCremaClient) return; // loaded twice: keep the configured one

  const VERSION = '1.0.0';
  const TIMEOUT_MS = 60000;

  // ErrorCodes are the numbers in error.code, by name.
  const ErrorCodes = {
    NotAuthenticated: 101, PermissionDenied: 102, AccessKeyNotAccepted: 103, AccessTokenNotAccepted: 104,
    InvalidCredentials: 105, InvalidSignature: 106, BadRequest: 107, InvalidArgument: 108, Duplicated: 109,
    ResourceNotFound: 110, NotSupported: 111, NotImplemented: 112, ConstraintViolated: 113,
    IncompatibleSchema: 114, AtomicOperationFailure: 115, PartialOperationFailure: 116,
    UndefinedOperation: 117, PluginUnavailable: 118, PluginTimeout: 119, RecordQueryInvalid: 120,
    PluginInitializing: 121, ResponseTimeout: 122, DeniedArgument: 123, RecordQueryDenied: 124,
    NotConfigured: 125, PasswordPolicyViolated: 126, UserDisabled: 127, VerificationRequired: 128,
    AssetSizeTooLarge: 129, UnexpectedError: 10000,
  };

  // toJSON turns a value into its wire form: a Date becomes {"$type":"date"}, at any depth.
  // undefined has no wire form, so it throws, wherever it stands.
  function toJSON(value) {
    if (value === undefined) throw new Error('toJSON does not support undefined value');
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) return value.map(toJSON);
    if (value instanceof Date) return {$type: 'date', $date: value.toJSON()};
    if (typeof value.toJSON === 'function') return value.toJSON();
    return mapValues(value, toJSON);
  }

  // fromJSON is the way back. Typed values other than dates stay as the wire has them.
  function fromJSON(value) {
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) return value.map(fromJSON);
    if (value.$type === 'date') return new Date(value.$date);
    return mapValues(value, fromJSON);
  }

  function mapValues(object, change) {
    return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
  }

  // SkygearClient is one connection: an end point and an API key. `auth` and `publicDB` will be its properties
  // when they exist; both will go through makeRequest.
  class SkygearClient {
    constructor() {
      this.url = null;
      this.apiKey = null;
      this.accessToken = null; // set by auth, later
      this.timeoutOptions = {response: TIMEOUT_MS};
    }

    get isCremaClient() { return true; }
    get VERSION() { return VERSION; }
    get ErrorCodes() { return ErrorCodes; }

    // endPoint always ends with a slash; setting nothing changes nothing.
    get endPoint() { return this.url; }
    set endPoint(value) {
      if (value) this.url = value.endsWith('/') ? value : value + '/';
    }

    // config sets what is given, keeps the rest, and resolves with the client. It sends nothing.
    async config(options) {
      if (options.apiKey) this.apiKey = options.apiKey;
      if (options.endPoint) this.endPoint = options.endPoint;
      return this;
    }

    // lambda calls the function `name` and resolves with its result. Without data the server sees no arguments.
    async lambda(name, data) {
      const body = await this.makeRequest(name, data ? {args: toJSON(data)} : {});
      return fromJSON(body.result);
    }

    // makeRequest posts one action and resolves with the whole answer. Colons in the action are slashes in the path.
    async makeRequest(action, params) {
      if (this.url === null) throw new Error('Please config endpoint');
      if (this.apiKey === null) throw new Error('Please config ApiKey');
      const reply = await this.post(this.url + action.replace(/:/g, '/'),
        {access_token: this.accessToken, action, api_key: this.apiKey, ...params});
      return readReply(reply);
    }

    async post(url, payload) {
      const limit = this.timeoutOptions && this.timeoutOptions.response;
      const abort = new AbortController();
      const timer = limit ? setTimeout(() => abort.abort(), limit) : 0;
      try {
        const response = await fetch(url, {
          method: 'POST',
          headers: this.headers(),
          body: JSON.stringify(payload),
          credentials: 'omit',
          signal: abort.signal,
        });
        return {response, text: await response.text()}; // a body cut off half way is no answer either
      } catch (cause) {
        throw {status: undefined, error: abort.signal.aborted ? timeoutError(limit) : networkError(cause, url)};
      } finally {
        clearTimeout(timer);
      }
    }

    headers() {
      const headers = {
        'Content-Type': 'application/json',
        'Accept': 'application/json',
        'X-Skygear-API-Key': this.apiKey,
        'X-Skygear-SDK-Version': 'crema-js/' + VERSION,
      };
      if (this.accessToken) headers['X-Skygear-Access-Token'] = this.accessToken;
      return headers;
    }
  }

  function readReply({response, text}) {
    let body = {};
    let unreadable = false;
    try {
      body = JSON.parse(text) || {};
    } catch {
      unreadable = text !== '' && /[/+]json\b/.test(response.headers.get('Content-Type') || '');
    }
    if (!response.ok) throw {status: response.status, error: body.error || statusError(response)};
    if (unreadable) {
      throw {status: response.status, error: Object.assign(new Error('Parser is unable to parse the response'), {parse: true})};
    }
    return body;
  }

  function statusError(response) {
    return Object.assign(new Error(response.statusText || 'Unsuccessful HTTP response'), {status: response.status});
  }

  function timeoutError(limit) {
    return Object.assign(new Error(`Response timeout of ${limit}ms exceeded`), {timeout: limit, code: 'ECONNABORTED', errno: 'ETIMEDOUT'});
  }

  function networkError(cause, url) {
    return Object.assign(
      new Error('Request has been terminated: the network is offline, the server cannot be reached, or it does not allow this page.'),
      {crossDomain: true, method: 'POST', url, cause});
  }

  root.skygear = new SkygearClient();
})(globalThis);
