import {Record} from './record.mjs';
import {toJSON} from './values.mjs';

const keyPath = (key) => ({$type: 'keypath', $val: key});
const distance = (key, place) => ['func', 'distance', keyPath(key), {$type: 'geo', $lng: place.longitude, $lat: place.latitude}];
const related = (key, {prototype: {identifier, direction}}) =>
  ['func', 'userRelation', keyPath(key), {$type: 'relation', $name: /^fri|^fol/.test(identifier) ? '_' + identifier : identifier, $direction: direction}];

function needArray(list) {
  if (!Array.isArray(list)) throw new Error('The second argument of contains must be an array.');
  return list;
}

function needString(needle) {
  if (typeof needle !== 'string') throw new Error('The second argument of containsValue must be a string.');
  return needle;
}

// Query asks for records of one class. Its conditions must all hold; every method returns the query itself.
export class Query {
  constructor(recordCls) {
    if (!Record.validType(recordCls.recordType)) {
      throw new Error('RecordType is not valid. Please start with alphanumeric string.');
    }
    this.recordCls = recordCls;
    this.recordType = recordCls.recordType;
    this.overallCount = false;
    this.limit = 50;
    this.offset = 0;
    this.page = 0; // from 1; used when there is no offset
    this._conditions = [];
    this._negated = false;
    this._sort = [];
    this._include = {};
  }

  like(key, pattern) { return this._where('like', keyPath(key), pattern); }
  notLike(key, pattern) { return this._whereNot('like', keyPath(key), pattern); }
  caseInsensitiveLike(key, pattern) { return this._where('ilike', keyPath(key), pattern); }
  caseInsensitiveNotLike(key, pattern) { return this._whereNot('ilike', keyPath(key), pattern); }
  equalTo(key, value) { return this._where('eq', keyPath(key), value); }
  notEqualTo(key, value) { return this._where('neq', keyPath(key), value); }
  greaterThan(key, value) { return this._where('gt', keyPath(key), value); }
  greaterThanOrEqualTo(key, value) { return this._where('gte', keyPath(key), value); }
  lessThan(key, value) { return this._where('lt', keyPath(key), value); }
  lessThanOrEqualTo(key, value) { return this._where('lte', keyPath(key), value); }
  distanceLessThan(key, place, metres) { return this._where('lt', distance(key, place), metres); }
  distanceGreaterThan(key, place, metres) { return this._where('gt', distance(key, place), metres); }
  contains(key, list) { return this._where('in', keyPath(key), needArray(list)); }
  notContains(key, list) { return this._whereNot('in', keyPath(key), needArray(list)); }
  containsValue(key, needle) { return this._where('in', needString(needle), keyPath(key)); }
  notContainsValue(key, needle) { return this._whereNot('in', needString(needle), keyPath(key)); }
  havingRelation(key, relation) { return this._where(...related(key, relation)); }
  notHavingRelation(key, relation) { return this._whereNot(...related(key, relation)); }

  addAscending(key) { return this._order(keyPath(key), 'asc'); }
  addDescending(key) { return this._order(keyPath(key), 'desc'); }
  addAscendingByDistance(key, place) { return this._order(distance(key, place), 'asc'); }
  addDescendingByDistance(key, place) { return this._order(distance(key, place), 'desc'); }

  // What is included comes as record.$transient[name].
  transientInclude(key, name) {
    this._include[name || key] = keyPath(key);
    return this;
  }

  transientIncludeDistance(key, name, place) {
    this._include[name || key] = distance(key, place);
    return this;
  }

  // predicate is all conditions as one, [] without any.
  get predicate() {
    const all = this._conditions.length > 1 ? ['and', ...this._conditions] : this._conditions[0] || [];
    return this._negated ? ['not', all] : all;
  }

  toJSON() {
    const {predicate, offset, page} = this;
    return {
      record_type: this.recordType, limit: this.limit, sort: this._sort, include: this._include, count: this.overallCount,
      ...(predicate.length > 1 && {predicate: toJSON(predicate)}),
      ...(offset && {offset}),
      ...(page && {page}),
    };
  }

  static fromJSON(json) {
    const query = new Query(Record.extend(json.record_type));
    query.limit = json.limit;
    query.offset = json.offset || 0;
    query.page = json.page || 0;
    query.overallCount = Boolean(json.count);
    query._conditions = json.predicate && json.predicate.length > 1 ? [json.predicate] : [];
    query._sort = [...json.sort || []];
    query._include = {...json.include};
    return query;
  }

  static clone(query) {
    return Object.assign(new Query(query.recordCls), query, {
      _conditions: [...query._conditions], _sort: [...query._sort], _include: {...query._include},
    });
  }

  static and(...queries) { return combine(queries, (all) => all); }

  static or(...queries) {
    return combine(queries, (all) => all.length < queries.length ? [] : all.length > 1 ? [['or', ...all]] : all);
  }

  static not(query) {
    const inverse = Query.clone(query);
    inverse._negated = !query._negated;
    return inverse;
  }

  _where(...condition) {
    if (this._negated) { // what was there is negated, what comes is not
      this._conditions = [this.predicate];
      this._negated = false;
    }
    this._conditions.push(condition);
    return this;
  }

  _whereNot(...condition) { return this._where('not', condition); }

  _order(by, direction) {
    this._sort.push([by, direction]);
    return this;
  }
}

// combine makes one query of several. Those without conditions match everything.
function combine(queries, join) {
  if (queries.length === 0) throw new Error('Queries cannot be empty.');
  if (queries.some(({recordType}) => recordType !== queries[0].recordType)) {
    throw new Error('All queries must be for the same recordType.');
  }
  const query = new Query(queries[0].recordCls);
  query._conditions = join(queries.map(({predicate}) => predicate).filter((predicate) => predicate.length > 0));
  return query;
}

// QueryResult is the list of records that a query found. overallCount is the number of all matches, if asked for.
export class QueryResult extends Array {
  static get [Symbol.species]() { return Array; }
}

export function queryResult(records, info) {
  const result = QueryResult.from(records);
  result.overallCount = info ? info.count : undefined;
  return result;
}
