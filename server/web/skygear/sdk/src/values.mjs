import {Record, splitID} from './record.mjs';

// toJSON turns a value into its wire form, at any depth: a Date becomes {"$type":"date"}, a record {"$type":"record"}.
// undefined has no wire form, so it throws, wherever it stands.
export function toJSON(value) {
  if (value === undefined) throw new Error('toJSON does not support undefined value');
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(toJSON);
  if (value instanceof Date) return {$type: 'date', $date: value.toJSON()};
  if (value instanceof Record) return {$type: 'record', $record: value.toJSON()};
  if (typeof value.toJSON === 'function') return value.toJSON();
  return mapValues(value, toJSON);
}

// fromJSON is the way back. What it does not know stays as it is.
export function fromJSON(value) {
  if (Array.isArray(value)) return value.map(fromJSON);
  if (value === null || typeof value !== 'object' || !isPlain(value)) return value;
  switch (value.$type) {
    case 'date': return new Date(value.$date);
    case 'geo': return Geolocation.fromJSON(value);
    case 'ref': return new Reference(value);
    case 'asset': return Asset.fromJSON(value);
    case 'unknown': return UnknownValue.fromJSON(value);
    case 'record': return Record.fromJSON(value.$record);
  }
  return mapValues(value, fromJSON);
}

function isPlain(object) {
  const parent = Object.getPrototypeOf(object);
  return parent === null || Object.getPrototypeOf(parent) === null;
}

export function mapValues(object, change) {
  const changed = {...object};
  for (const key of Object.keys(changed)) changed[key] = change(changed[key]);
  return changed;
}

// Reference points to a record: new Reference(record) or new Reference('type/key').
export class Reference {
  constructor(target) {
    const id = typeof target === 'string' ? target : target.$id || target.id;
    if (!id) throw new Error('Empty record id');
    splitID(id);
    this._id = id;
  }

  get id() { return this._id; }

  toJSON() { return {$type: 'ref', $id: this._id}; }
}

// Geolocation is a place, in degrees.
export class Geolocation {
  constructor(latitude, longitude) {
    this.latitude = degrees('Latitude', latitude, 90);
    this.longitude = degrees('Longitude', longitude, 180);
  }

  // fromJSON takes any degrees: one odd row must not spoil a whole query.
  static fromJSON({$lat, $lng}) {
    return Object.assign(Object.create(Geolocation.prototype), {latitude: $lat, longitude: $lng});
  }

  toJSON() { return {$type: 'geo', $lat: this.latitude, $lng: this.longitude}; }
}

function degrees(what, value, limit) {
  if (typeof value !== 'number') throw new Error(`${what} is not a number`);
  if (!(Math.abs(value) <= limit)) throw new Error(`${what} is not in expected range (-${limit}, ${limit})`);
  return value;
}

// Sequence asks the server to number the records of a type in this field.
export class Sequence {
  toJSON() { return {$type: 'seq'}; }
}

// UnknownValue stands for a column of a type that the server knows nothing of.
export class UnknownValue {
  constructor(underlyingType) { this.underlyingType = underlyingType; }

  static fromJSON(json) { return new UnknownValue(json.$underlying_type); }

  toJSON() { return {$type: 'unknown', $underlying_type: this.underlyingType}; }
}

// Asset is a file. With `file` (a File, Blob, ArrayBuffer or typed array) or `base64` it is one to upload; what the
// server gives has a `url` instead, which expires.
export class Asset {
  constructor({name, file, base64, contentType, url} = {}) {
    if (!name) throw new Error('Name should not be empty');
    if (file && !contentType && !file.type) {
      throw new Error('ContentType cannot be inferred from file, please provide a content type manually');
    }
    this.name = name;
    this.contentType = contentType || (file && file.type);
    this.file = file || (base64 && Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
    this.url = url;
  }

  static fromJSON(json) {
    return new Asset({name: json.$name, contentType: json.$content_type, url: json.$url});
  }

  toJSON() { return {$type: 'asset', $name: this.name, $url: this.url}; }
}
