// Queries: every operator, sorting, pages, what is included.
import { ok, refused, same, throws } from '../check.mjs';
import { test } from '../suite.mjs';

let beans;

// shelf has five records, made once, and ways to ask for them: found(query => ...) lists names.
function shelf(w) {
  beans ??= fillShelf(w);
  return beans;
}

async function fillShelf(w) {
  const { Geolocation, Query } = w.any;
  const client = await w.user();
  const Bean = w.type('bean');
  const { errors } = await client.publicDB.save([
    new Bean({ name: 'Kenya', price: 12, tags: ['fruity', 'light'], at: new Date(1000), loc: new Geolocation(0, 37) }),
    new Bean({ name: 'Brazil', price: 8, tags: ['nutty'], at: new Date(2000), loc: new Geolocation(-10, -55) }),
    new Bean({ name: 'kenya peaberry', price: 20, tags: [], at: new Date(3000), loc: new Geolocation(0, 38) }),
    new Bean({ name: 'Yemen', price: 20, tags: ['light'], at: new Date(4000), organic: true }),
    new Bean({ name: 'Java_%', price: 9.5, tags: ['nutty', 'light'], at: new Date(5000), organic: false }),
  ]);
  same(errors, Array(5).fill(undefined), 'errors of saving');
  const ask = (build) => {
    const query = new Query(Bean);
    return client.publicDB.query(build(query) ?? query);
  };
  const names = async (build) => (await ask(build)).map((r) => r.name);
  const found = async (build) => (await names(build)).sort();
  return { Bean, Query, client, ask, names, found };
}

test('query: everything, as records of the class', async (w) => {
  const { Bean, ask } = await shelf(w);
  const all = await ask(() => {});
  same([all.length, all.overallCount], [5, undefined]);
  ok(all.every((r) => r instanceof Bean), 'some are of another class');
  ok(all[0].createdAt instanceof Date && all[0].at instanceof Date, 'no dates');
});

test('query: a type that has no records', async (w) => {
  const client = await w.client();
  same(Array.from(await client.publicDB.query(new w.any.Query(w.type('never')))), []);
});

test('query: equalTo, notEqualTo', async (w) => {
  const { found } = await shelf(w);
  same(await found((q) => q.equalTo('name', 'Kenya')), ['Kenya']);
  same(await found((q) => q.equalTo('at', new Date(2000))), ['Brazil']);
  same(await found((q) => q.equalTo('organic', true)), ['Yemen']);
  same(await found((q) => q.notEqualTo('price', 20)), ['Brazil', 'Java_%', 'Kenya']);
  same(await found((q) => q.equalTo('organic', null)), ['Brazil', 'Kenya', 'kenya peaberry']);
  same(await found((q) => q.notEqualTo('organic', null)), ['Java_%', 'Yemen']);
});

test('query: greaterThan, lessThan and their friends', async (w) => {
  const { found } = await shelf(w);
  same(await found((q) => q.greaterThan('price', 12)), ['Yemen', 'kenya peaberry']);
  same(await found((q) => q.greaterThanOrEqualTo('price', 12)), ['Kenya', 'Yemen', 'kenya peaberry']);
  same(await found((q) => q.lessThan('price', 9.5)), ['Brazil']);
  same(await found((q) => q.lessThanOrEqualTo('price', 9.5)), ['Brazil', 'Java_%']);
  same(await found((q) => q.greaterThan('at', new Date(3000)).lessThan('at', new Date(5000))), ['Yemen']);
});

test('query: like', async (w) => {
  const { found } = await shelf(w);
  same(await found((q) => q.like('name', 'Kenya%')), ['Kenya']);
  same(await found((q) => q.caseInsensitiveLike('name', 'kenya%')), ['Kenya', 'kenya peaberry']);
  same(await found((q) => q.notLike('name', '%e%')), ['Brazil', 'Java_%']);
  same(await found((q) => q.caseInsensitiveNotLike('name', 'KENYA%')), ['Brazil', 'Java_%', 'Yemen']);
  same(await found((q) => q.like('name', 'Y_men')), ['Yemen']);
});

test('query: contains', async (w) => {
  const { found, Query, Bean } = await shelf(w);
  same(await found((q) => q.contains('name', ['Kenya', 'Yemen', 'Mars'])), ['Kenya', 'Yemen']);
  same(await found((q) => q.contains('price', [20, 8])), ['Brazil', 'Yemen', 'kenya peaberry']);
  same(await found((q) => q.contains('name', [])), []);
  same(await found((q) => q.notContains('name', ['Kenya', 'Yemen'])), ['Brazil', 'Java_%', 'kenya peaberry']);
  same(await found((q) => q.containsValue('tags', 'light')), ['Java_%', 'Kenya', 'Yemen']);
  same(await found((q) => q.notContainsValue('tags', 'light')), ['Brazil', 'kenya peaberry']);
  throws(() => new Query(Bean).contains('name', 'Kenya'), 'must be an array');
  throws(() => new Query(Bean).notContains('name', 'Kenya'), 'must be an array');
  throws(() => new Query(Bean).containsValue('tags', 1), 'must be a string');
  throws(() => new Query(Bean).notContainsValue('tags', 1), 'must be a string');
});

test('query: distance', async (w) => {
  const { found, names, ask } = await shelf(w);
  const nairobi = new w.any.Geolocation(0, 37);
  same(await found((q) => q.distanceLessThan('loc', nairobi, 200000)), ['Kenya', 'kenya peaberry']);
  same(await found((q) => q.distanceGreaterThan('loc', nairobi, 200000)), ['Brazil']);
  same(await names((q) => q.notEqualTo('loc', null).addAscendingByDistance('loc', nairobi)), ['Kenya', 'kenya peaberry', 'Brazil']);
  same(await names((q) => q.notEqualTo('loc', null).addDescendingByDistance('loc', nairobi)), ['Brazil', 'kenya peaberry', 'Kenya']);
  const [first, second] = await ask((q) => q.transientIncludeDistance('loc', 'far', nairobi).contains('price', [12, 20]).notEqualTo('loc', null).addAscending('price'));
  same(first.$transient.far, 0);
  ok(Math.abs(second.$transient.far - 111195) < 500, `one degree is ${second.$transient.far} m`);
});

test('query: sorting', async (w) => {
  const { names } = await shelf(w);
  same(await names((q) => q.addAscending('price').addDescending('at')), ['Brazil', 'Java_%', 'Kenya', 'Yemen', 'kenya peaberry']);
  same(await names((q) => q.addDescending('price').addAscending('at')), ['kenya peaberry', 'Yemen', 'Kenya', 'Java_%', 'Brazil']);
  same(await names((q) => q.addDescending('_created_at').addAscending('name').equalTo('name', 'Kenya')), ['Kenya']);
});

test('query: pages and the count of all', async (w) => {
  const { ask } = await shelf(w);
  const page = (settings) => ask((q) => { q.addAscending('at'); return Object.assign(q, settings); });
  const names = async (settings) => (await page(settings)).map((r) => r.name);
  same(await names({ limit: 2 }), ['Kenya', 'Brazil']);
  same(await names({ limit: 2, offset: 3 }), ['Yemen', 'Java_%']);
  same(await names({ limit: 2, page: 2 }), ['kenya peaberry', 'Yemen']);
  same(await names({ limit: 0 }), []);
  const counted = await page({ limit: 1, overallCount: true });
  same([counted.length, counted.overallCount], [1, 5]);
});

test('query: and, or, not', async (w) => {
  const { Bean, Query, client } = await shelf(w);
  const cheap = () => new Query(Bean).lessThan('price', 10);
  const light = () => new Query(Bean).containsValue('tags', 'light');
  const found = async (query) => (await client.publicDB.query(query)).map((r) => r.name).sort();
  same(await found(Query.and(cheap(), light())), ['Java_%']);
  same(await found(Query.or(cheap(), light())), ['Brazil', 'Java_%', 'Kenya', 'Yemen']);
  same(await found(Query.not(light())), ['Brazil', 'kenya peaberry']);
  same(await found(Query.not(Query.or(cheap(), light()))), ['kenya peaberry']);
  same(await found(Query.or(Query.and(cheap(), light()), new Query(Bean).equalTo('name', 'Yemen'))), ['Java_%', 'Yemen']);
  same(await found(Query.or(cheap(), light()).equalTo('organic', true)), ['Yemen']);
  throws(() => Query.and(), 'Queries cannot be empty.');
  throws(() => Query.or(), 'Queries cannot be empty.');
});

test('query: clone, to JSON and back', async (w) => {
  const { Bean, Query, client } = await shelf(w);
  const query = new Query(Bean).greaterThan('price', 9).addAscending('price');
  query.limit = 2;
  const names = async (q) => (await client.publicDB.query(q)).map((r) => r.name);
  same(await names(query), ['Java_%', 'Kenya']);
  const clone = Query.clone(query);
  clone.limit = 1;
  same([await names(clone), query.limit], [['Java_%'], 2]);
  same(await names(Query.fromJSON(JSON.parse(JSON.stringify(query.toJSON())))), ['Java_%', 'Kenya']);
  same(query.predicate, ['gt', { $type: 'keypath', $val: 'price' }, 9]);
  throws(() => new Query({ recordType: '_x' }), 'RecordType is not valid');
});

test('query: its hash tells queries apart', async (w) => {
  const { Query } = w.any;
  const Note = w.type('note');
  ok(/^[0-9a-f]{32}$/.test(new Query(Note).hash), 'no hash');
  ok(new Query(Note).hash !== new Query(Note).equalTo('a', 1).hash, 'one hash for two queries');
}, { needs: ['Query.hash'] });

test('query: the last answer comes first', async (w) => {
  const { Bean, Query, client } = await shelf(w);
  const query = () => new Query(Bean).equalTo('name', 'Kenya');
  await client.publicDB.query(query());
  const seen = [];
  const fresh = await client.publicDB.query(query(), (found, cached) => seen.push([found.length, found[0].name, cached]));
  same([seen, fresh.length], [[[1, 'Kenya', true]], 1]);
  ok((await client.publicDB.cacheStore.get(query().hash)).result.length === 1, 'not in the store');
  client.publicDB.cacheResponse = false;
  same(client.publicDB.cacheResponse, false);
  await client.clearCache();
}, { needs: ['Database.cacheStore'] });

test('query: includes the record behind a reference', async (w) => {
  const { Query, Record, Reference } = w.any;
  const client = await w.user();
  const City = w.type('city');
  const Note = w.type('note');
  const city = await client.publicDB.save(new City({ name: 'Hong Kong' }));
  await client.publicDB.save([new Note({ n: 1, city: new Reference(city) }), new Note({ n: 2 })]);
  const query = new Query(Note).transientInclude('city').transientInclude('city', 'place').addAscending('n');
  const [first, second] = await client.publicDB.query(query);
  ok(first.$transient.city instanceof Record, 'no record');
  same([first.$transient.city.name, first.$transient.city.id, first.$transient.place.name], ['Hong Kong', city.id, 'Hong Kong']);
  same([second.$transient.city, second.$transient.place], [null, null]);
  same(first.city.id, city.id);
});

test('query: by a field of the record behind a reference', async (w) => {
  const { Query, Reference } = w.any;
  const client = await w.user();
  const City = w.type('city');
  const Note = w.type('note');
  const { savedRecords: [a, b] } = await client.publicDB.save([new City({ name: 'A' }), new City({ name: 'B' })]);
  await client.publicDB.save([new Note({ n: 1, city: new Reference(a) }), new Note({ n: 2, city: new Reference(b) })]);
  const numbers = async (query) => (await client.publicDB.query(query)).map((r) => r.n);
  same(await numbers(new Query(Note).equalTo('city.name', 'B')), [2]);
  same(await numbers(new Query(Note).equalTo('city', new Reference(a))), [1]);
});

test('query: an unknown field', async (w) => {
  const { client, Bean, Query } = await shelf(w);
  await refused(client.publicDB.query(new Query(Bean).equalTo('no_such', 1)), { status: 400, code: 120, name: 'RecordQueryInvalid' });
});
