import {ACL, Role} from './acl.mjs';
import {Auth} from './auth.mjs';
import {Database, PublicDatabase, uploadAll} from './database.mjs';
import {ErrorCodes, SkygearError} from './errors.mjs';
import {Pubsub} from './pubsub.mjs';
import {Query} from './query.mjs';
import {Record, UserRecord} from './record.mjs';
import {Follower, Following, Friend, Relations} from './relation.mjs';
import {post} from './transport.mjs';
import {Asset, Geolocation, Reference, Sequence, UnknownValue, fromJSON, toJSON} from './values.mjs';

const VERSION = '2.0.0';

// SkygearClient is one connection: an end point and an API key.
export class SkygearClient {
  constructor() {
    this.url = null;
    this.apiKey = null;
    this.timeoutOptions = {response: 60000};
    this.storage = defaultStorage(); // where user and token are kept
    this.auth = new Auth(this);
    this.publicDB = new PublicDatabase('_public', this);
    this.privateDB = new Database('_private', this);
    this.relation = new Relations(this);
    this.pubsub = new Pubsub(this);
  }

  get isCremaClient() { return true; }
  get VERSION() { return VERSION; }

  // endPoint always ends with a slash; setting nothing changes nothing.
  get endPoint() { return this.url; }
  set endPoint(value) {
    if (value) this.url = value.endsWith('/') ? value : value + '/';
  }

  configApiKey(apiKey) { this.apiKey = apiKey; }
  configEndPoint(endPoint) { this.endPoint = endPoint; }

  // config sets what is given, keeps the rest, takes up the user of the page before, and resolves with the client. It
  // sends nothing.
  async config(options) {
    if (options.apiKey) this.apiKey = options.apiKey;
    if (options.endPoint) this.endPoint = options.endPoint;
    this.auth._restore();
    this.pubsub.reconfigure();
    return this;
  }

  // lambda calls the function `name` and resolves with its result. Without data the server sees no arguments.
  async lambda(name, data) {
    const args = await uploadAll(this, data);
    const body = await this.makeRequest(name, args ? {args: toJSON(args)} : {});
    return fromJSON(body.result);
  }

  // makeRequest posts one action and resolves with the whole answer. Colons in the action are slashes in the path.
  async makeRequest(action, params) {
    if (this.url === null) throw new Error('Please config endpoint');
    if (this.apiKey === null) throw new Error('Please config ApiKey');
    const token = this.auth.accessToken;
    try {
      return await post(this.url + action.replace(/:/g, '/'), {
        headers: this._headers(token),
        body: JSON.stringify({access_token: token, action, api_key: this.apiKey, ...params}),
        timeouts: this.timeoutOptions,
      });
    } catch (refusal) {
      if (refusal.error?.code === ErrorCodes.AccessTokenNotAccepted) this.auth._drop(token);
      throw refusal;
    }
  }

  _headers(token) {
    return {
      'Content-Type': 'application/json',
      'Accept': 'application/json',
      'X-Skygear-API-Key': this.apiKey,
      'X-Skygear-SDK-Version': 'crema-js/' + VERSION,
      ...(token && {'X-Skygear-Access-Token': token}),
    };
  }
}

Object.assign(SkygearClient.prototype, {
  ACL, Asset, Database, Error: SkygearError, ErrorCodes, Follower, Following, Friend, Geolocation, Query, Record, Reference, Role,
  Sequence, UnknownValue, UserRecord,
});

// defaultStorage is localStorage, or memory where there is none or the page may not use it.
function defaultStorage() {
  try {
    if (typeof localStorage !== 'undefined') {
      localStorage.setItem('_skygear_test', '');
      localStorage.removeItem('_skygear_test');
      return localStorage;
    }
  } catch { /* memory it is */ }
  const items = new Map();
  return {getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value), removeItem: (key) => items.delete(key)};
}
