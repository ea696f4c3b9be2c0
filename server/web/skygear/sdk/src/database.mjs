import {Query, queryResult} from './query.mjs';
import {Record, splitID} from './record.mjs';
import {post} from './transport.mjs';
import {Asset} from './values.mjs';

// Database holds records: skygear.publicDB those of all users, skygear.privateDB those of the one who is logged in.
export class Database {
  constructor(dbID, client) {
    this.dbID = dbID;
    this._client = client;
  }

  // getRecordByID takes 'type/key' and rejects when there is no such record, or none that the user may read.
  async getRecordByID(id) {
    const [type, key] = splitID(id);
    const found = await this.query(new Query(Record.extend(type)).equalTo('_id', key));
    if (found.length !== 1) throw new Error(`${id} does not exist`);
    return found[0];
  }

  async query(query) {
    const {page, ...wire} = query.toJSON();
    if (page > 0 && !wire.offset) wire.offset = wire.limit * (page - 1);
    const body = await this._request('record:query', wire);
    return queryResult(body.result.map((json) => new query.recordCls(json)), body.info);
  }

  // save stores one record and resolves with it, or rejects with its error. Of a list it stores what it can and resolves
  // with {savedRecords, errors}, both as long as the list; with {atomic: true} it stores all or rejects.
  async save(records, {atomic} = {}) {
    const list = Array.isArray(records) ? records : [records];
    if (list.some((record) => !record)) throw new Error('Invalid input, unable to save undefined and null');
    await uploadAll(this._client, list);
    const {result} = await this._request('record:save', {
      ...(atomic && {atomic}), records: list.map((record) => record.toTruncatedJSON()),
    });
    const errors = result.map(errorOf);
    result.forEach((json, i) => {
      if (errors[i]) return;
      list[i].update(json);
      list[i].updateTransient(json._transient, true);
    });
    if (list.length !== 1) return {savedRecords: list.map((record, i) => errors[i] ? undefined : record), errors};
    if (errors[0]) throw errors[0];
    return list[0];
  }

  // delete removes one record, or rejects with its error. Of a list it removes what it can and resolves with the errors.
  async delete(records) {
    const list = Array.isArray(records) ? records : [records];
    const {result} = await this._request('record:delete', {ids: list.map(({id}) => id)});
    const errors = result.map(errorOf);
    if (list.length !== 1) return errors;
    if (errors[0]) throw errors[0];
    return undefined;
  }

  del(records) { return this.delete(records); }

  uploadAsset(asset) { return uploadAsset(this._client, asset); }

  _request(action, params) { return this._client.makeRequest(action, {database_id: this.dbID, ...params}); }
}

// PublicDatabase also sets what holds for all records of a class.
export class PublicDatabase extends Database {
  // setRecordCreateAccess lets only these roles make records; no role at all means everybody who is logged in.
  async setRecordCreateAccess({recordType}, roles) {
    return (await this._client.makeRequest('schema:access', {type: recordType, create_roles: roles.map(({name}) => name)})).result;
  }

  // setRecordDefaultAccess sets the ACL of records that are saved without one.
  async setRecordDefaultAccess({recordType}, acl) {
    return (await this._client.makeRequest('schema:default_access', {type: recordType, default_access: acl.toJSON()})).result;
  }
}

function errorOf(json) { return json._type === 'error' ? json : undefined; }

// uploadAsset stores the file of an asset and resolves with the asset as records keep it.
async function uploadAsset(client, {name, contentType, file}) {
  if (!file) throw new Error(`${name} has no file to upload`);
  const blob = file instanceof Blob && file.type === contentType ? file : new Blob([file], {type: contentType});
  const {result} = await client.makeRequest('asset:put', {filename: name, 'content-type': contentType, 'content-size': blob.size});
  const {action, 'extra-fields': fields} = result['post-request'];
  const form = new FormData();
  for (const [key, value] of Object.entries(fields || {})) form.append(key, value);
  form.append('file', blob, name);
  const url = /^https?:/.test(action) ? action : client.endPoint + action.replace(/^\//, '');
  await post(url, {headers: {'X-Skygear-API-Key': client.apiKey}, body: form});
  return Asset.fromJSON(result.asset);
}

// uploadAll replaces the assets that have a file, at any depth, by stored ones. Records change, other values are copied.
export async function uploadAll(client, value) {
  if (value instanceof Asset) return value.file ? uploadAsset(client, value) : value;
  if (Array.isArray(value)) return Promise.all(value.map((item) => uploadAll(client, item)));
  if (value instanceof Record) {
    await Promise.all(value.attributeKeys.map(async (key) => { value[key] = await uploadAll(client, value[key]); }));
  }
  if (value instanceof Object && value.constructor === Object) {
    return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([key, item]) => [key, await uploadAll(client, item)])));
  }
  return value;
}
