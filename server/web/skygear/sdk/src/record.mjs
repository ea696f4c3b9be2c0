import {ACL} from './acl.mjs';
import {fromJSON, mapValues, toJSON} from './values.mjs';

// Fields of the server's own, as the wire and as a record calls them.
const metaNames = {
  _created_at: 'createdAt', _updated_at: 'updatedAt', _ownerID: 'ownerID', _created_by: 'createdBy', _updated_by: 'updatedBy',
};
const metaFields = new Set(Object.values(metaNames));

// splitID takes 'type/key' apart. The key may have slashes.
export function splitID(id) {
  const slash = id.indexOf('/');
  if (slash < 0) throw new Error('_id is not valid. _id has to be in the format `type/id`');
  return [id.slice(0, slash), id.slice(slash + 1)];
}

function checkType(type) {
  if (!Record.validType(type)) throw new Error('RecordType is not valid. Please start with alphanumeric string.');
}

// newKey makes a UUID, version 4. crypto.randomUUID exists on https pages only.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = bytes[6] & 15 | 64;
  bytes[8] = bytes[8] & 63 | 128;
  const hex = Array.from(bytes, (b) => (b + 256).toString(16).slice(1)).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// Record is one row of a record type. Its fields are its properties; names that start with "_" are the client's.
// Make classes of records with Record.extend('note'), then new Note({title: 'x'}).
export class Record {
  constructor(type, attributes) {
    checkType(type);
    const {id: full, ...fields} = attributes || {};
    const given = full || fields._id;
    const [idType, key] = given ? splitID(given) : [type, newKey()];
    if (idType !== type) throw new Error('_id is not valid. RecordType mismatch.');
    this._recordType = type;
    this._id = key;
    this._access = null;
    this.update(fields);
    this.updateTransient(fields._transient);
  }

  static validType(type) { return Boolean(type) && !type.startsWith('_'); }

  static parseID(id) { return splitID(id); }

  static extend(type, methods) {
    checkType(type);
    class Extended extends Record {
      constructor(attributes) { super(type, attributes); }
    }
    Extended.recordType = type;
    Object.assign(Extended.prototype, methods);
    return Extended;
  }

  static fromJSON(json) { return new (Record.extend(splitID(json._id)[0]))(json); }

  get recordType() { return this._recordType; }
  get id() { return `${this._recordType}/${this._id}`; }
  get $transient() { return this._transient; }
  get attributeKeys() { return Object.keys(this).filter((key) => !key.startsWith('_') && !metaFields.has(key)); }
  get metaKeys() { return Object.keys(this).filter((key) => metaFields.has(key)); }

  // access is the record's ACL. A record that has none gets one here, and then only its owner may write.
  get access() { return this._access ||= new ACL(); }
  set access(acl) { this._access = acl; }

  setAccess(acl) { this.access = acl; }
  setPublicNoAccess() { this.access.setPublicNoAccess(); }
  setPublicReadOnly() { this.access.setPublicReadOnly(); }
  setPublicReadWriteAccess() { this.access.setPublicReadWriteAccess(); }
  setNoAccessForRole(role) { this.access.setNoAccessForRole(role); }
  setReadOnlyForRole(role) { this.access.setReadOnlyForRole(role); }
  setReadWriteAccessForRole(role) { this.access.setReadWriteAccessForRole(role); }
  setNoAccessForUser(user) { this.access.setNoAccessForUser(user); }
  setReadOnlyForUser(user) { this.access.setReadOnlyForUser(user); }
  setReadWriteAccessForUser(user) { this.access.setReadWriteAccessForUser(user); }

  // Without an ACL everybody may read, and everybody who is logged in may write.
  hasPublicReadAccess() { return granted(this).hasPublicReadAccess(); }
  hasPublicWriteAccess() { return granted(this).hasPublicWriteAccess(); }
  hasReadAccessForRole(role) { return granted(this).hasReadAccessForRole(role); }
  hasWriteAccessForRole(role) { return granted(this).hasWriteAccessForRole(role); }
  hasReadAccessForUser(user) { return granted(this).hasReadAccessForUser(user); }
  hasWriteAccessForUser(user) { return granted(this).hasWriteAccessForUser(user); }

  // update replaces all fields by those of a wire record or of a plain object.
  update(fields) {
    for (const key of this.attributeKeys) delete this[key];
    for (const [key, value] of Object.entries(fields)) {
      if (key === '_access') this._access = value && ACL.fromJSON(toJSON(value));
      else if (key in metaNames) this[metaNames[key]] = key.endsWith('_at') ? new Date(value) : value;
      else if (!key.startsWith('_')) this[key] = fromJSON(value);
    }
  }

  // updateTransient replaces what a query included, or merges into it.
  updateTransient(included, merge = false) {
    const news = mapValues(included || {}, (value) => value && value._id ? Record.fromJSON(value) : fromJSON(value));
    this._transient = merge ? {...this._transient, ...news} : news;
  }

  // toTruncatedJSON is what a save sends.
  toTruncatedJSON() {
    const json = {_id: this.id, _access: this._access && this._access.toJSON()};
    for (const key of this.attributeKeys) {
      if (this[key] === undefined) throw new Error(`Unsupported undefined value of record key: ${key}`);
      json[key] = toJSON(this[key]);
    }
    return json;
  }

  toJSON() {
    const json = this.toTruncatedJSON();
    for (const [wire, key] of Object.entries(metaNames)) {
      if (this[key] !== undefined) json[wire] = this[key] instanceof Date ? this[key].toJSON() : this[key];
    }
    if (Object.keys(this._transient).length > 0) json._transient = mapValues(this._transient, wireTransient);
    return json;
  }
}

function granted(record) { return record._access || new ACL([{public: true, level: 'write'}]); }

function wireTransient(value) { return value instanceof Record ? value.toJSON() : toJSON(value); }

export const UserRecord = Record.extend('user');
