// What a field can hold.
import { ok, refused, same, throws } from '../check.mjs';
import { test } from '../suite.mjs';

let Box;

// stored saves a value in a record, in a field for values of its kind, and reads it again.
async function stored(w, client, value) {
  Box ??= w.type('box');
  const box = new Box();
  const field = `${typeof value}_${value.constructor.name}`.toLowerCase();
  box[field] = value;
  await client.publicDB.save(box);
  return (await client.publicDB.getRecordByID(box.id))[field];
}

test('values: plain ones', async (w) => {
  const client = await w.user();
  for (const value of ['text', 'ünï \u{1F980} "\\ \n', '', 0, -1.5, 1e21, true, false]) same(await stored(w, client, value), value);
});

test('values: dates', async (w) => {
  const client = await w.user();
  for (const when of [new Date(0), new Date('2024-02-29T23:59:59.123Z'), new Date('1900-01-01T00:00:00Z')]) {
    const got = await stored(w, client, when);
    ok(got instanceof Date, `${got} is no Date`);
    same(got, when);
  }
});

test('values: objects and lists', async (w) => {
  const client = await w.user();
  const object = { a: [1, 'two', null, { b: false }], 'key with space': {}, deep: { er: { est: 0.5 } } };
  same(await stored(w, client, object), object);
  same(await stored(w, client, [1, 'two', [3], { four: 4 }]), [1, 'two', [3], { four: 4 }]);
  same(await stored(w, client, []), []);
});

test('values: dates in objects', async (w) => {
  const client = await w.user();
  same(await stored(w, client, { when: new Date(1000) }), { when: new Date(1000) });
  const list = await stored(w, client, [new Date(1000)]);
  same(list, w.sdk.decodesLists ? [new Date(1000)] : [{ $type: 'date', $date: list[0].$date }]);
  same(new Date(w.sdk.decodesLists ? list[0] : list[0].$date), new Date(1000));
});

test('values: undefined is refused before anything is sent', async (w) => {
  const client = await w.user();
  const message = await client.publicDB.save(new (w.type('note'))({ value: undefined })).then(() => 'saved', (e) => e.message);
  ok(message.includes('undefined value'), message);
});

test('values: a location', async (w) => {
  const { Geolocation } = w.any;
  const client = await w.user();
  const got = await stored(w, client, new Geolocation(22.39649, 114.1952103));
  ok(got instanceof Geolocation, 'not a Geolocation');
  same([got.latitude, got.longitude], [22.39649, 114.1952103]);
  same(got.toJSON(), { $type: 'geo', $lat: 22.39649, $lng: 114.1952103 });
  same(Geolocation.fromJSON(got.toJSON()), got);
  throws(() => new Geolocation(91, 0), 'Latitude is not in expected range');
  throws(() => new Geolocation(0, 181), 'Longitude is not in expected range');
  throws(() => new Geolocation('1', 0), 'Latitude is not a number');
  throws(() => new Geolocation(1, '0'), 'Longitude is not a number');
});

test('values: a reference', async (w) => {
  const { Reference } = w.any;
  const client = await w.user();
  const City = w.type('city');
  const Note = w.type('note');
  const city = await client.publicDB.save(new City({ name: 'Hong Kong' }));
  const note = await client.publicDB.save(new Note({ city: new Reference(city) }));
  const got = (await client.publicDB.getRecordByID(note.id)).city;
  ok(got instanceof Reference, 'not a Reference');
  same([got.id, got.toJSON()], [city.id, { $type: 'ref', $id: city.id }]);
  same(new Reference(city.id).id, city.id);
  throws(() => new Reference({}), 'Empty record id');
  throws(() => new Reference('city'), '_id is not valid');
  await refused(client.publicDB.delete(city), { code: 113, name: 'ConstraintViolated' });
});

test('values: a sequence counts', async (w) => {
  const { Sequence } = w.any;
  const client = await w.user();
  const Ticket = w.type('ticket');
  const first = await client.publicDB.save(new Ticket({ number: new Sequence() }));
  const second = await client.publicDB.save(new Ticket({ number: new Sequence() }));
  const third = await client.publicDB.save(new Ticket({ title: 'numbered too' }));
  same([first.number, second.number, third.number], [1, 2, 3]);
  second.title = 'changed';
  same((await client.publicDB.save(second)).number, 2, 'after a change');
  await client.publicDB.save(new Ticket({ number: 41 }));
  same((await client.publicDB.save(new Ticket({ number: new Sequence() }))).number, 42);
  same(new Sequence().toJSON(), { $type: 'seq' });
});

// The table "ledger" has a column price of type money.
test('values: of a type that the server does not know', async (w) => {
  const client = await w.user();
  const Ledger = w.any.Record.extend('ledger');
  const ledger = await client.publicDB.save(new Ledger({ title: 'x' }));
  const found = await client.publicDB.getRecordByID(ledger.id);
  same([found.title, found.price.underlyingType, found.price.toJSON()], ['x', 'money', { $type: 'unknown', $underlying_type: 'money' }]);
  found.title = 'y';
  const saved = await client.publicDB.save(found);
  same([saved.title, saved.price.underlyingType], ['y', 'money']);
});
