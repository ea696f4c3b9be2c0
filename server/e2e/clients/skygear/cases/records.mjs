// Records: save, fetch, delete, the two databases.
import { ok, refused, same, throws } from '../check.mjs';
import { test } from '../suite.mjs';
import { wait } from '../world.mjs';

test('save: a new record', async (w) => {
  const client = await w.user();
  const { Note } = w;
  const note = new Note({ title: 'First', n: 1 });
  const saved = await client.publicDB.save(note);
  same(saved === note, true, 'the same object');
  same([saved.title, saved.n, saved.recordType], ['First', 1, Note.recordType]);
  ok(/^[0-9a-f-]{36}$/.test(saved._id), `_id is ${saved._id}`);
  same(saved.id, `${Note.recordType}/${saved._id}`);
  const me = client.auth.currentUser._id;
  same([saved.ownerID, saved.createdBy, saved.updatedBy], [me, me, me]);
  ok(saved.createdAt instanceof Date && Math.abs(Date.now() - saved.createdAt) < 600000, `createdAt is ${saved.createdAt}`);
  same(saved.updatedAt, saved.createdAt);
});

test('save: only what is sent changes, null clears', async (w) => {
  const client = await w.user();
  const { Note } = w;
  const note = await client.publicDB.save(new Note({ title: 'First', n: 1, gone: 'x' }));
  const created = note.createdAt;
  const part = new Note({ _id: note.id, title: 'Second', gone: null });
  await wait(5); // a Date counts milliseconds
  const saved = await client.publicDB.save(part);
  same([saved.title, saved.n, 'gone' in saved], ['Second', 1, false]);
  same(saved.createdAt, created);
  ok(saved.updatedAt > created, 'updatedAt stands still');
  same((await client.publicDB.getRecordByID(note.id)).toTruncatedJSON(), saved.toTruncatedJSON());
});

test('save: many at once, also atomic', async (w) => {
  const client = await w.user();
  const { Note } = w;
  for (const options of [undefined, { atomic: true }]) {
    const notes = [new Note({ title: 'a' }), new Note({ title: 'b' })];
    const { savedRecords, errors } = await client.publicDB.save(notes, options);
    same([savedRecords[0] === notes[0], savedRecords[1] === notes[1], errors], [true, true, [undefined, undefined]]);
    same((await client.publicDB.getRecordByID(notes[1].id)).title, 'b');
  }
});

test('save: nothing is not saved', async (w) => {
  const client = await w.user();
  for (const nothing of [undefined, null, [null]]) {
    const message = await client.publicDB.save(nothing).then(() => 'saved', (e) => e.message);
    same(message, 'Invalid input, unable to save undefined and null');
  }
});

test('save: nobody may write without logging in', async (w) => {
  const client = await w.client();
  await refused(client.publicDB.save(new w.Note({ title: 'x' })), { status: 401, code: 101, name: 'NotAuthenticated' });
});

test('save: a field keeps its type', async (w) => {
  const client = await w.user();
  const Note = w.type('note');
  await client.publicDB.save(new Note({ n: 1 }));
  await refused(client.publicDB.save(new Note({ n: 'text' })), { status: 409, code: 114, name: 'IncompatibleSchema' });
});

test('save: ids with slashes', async (w) => {
  const client = await w.user();
  const { Note } = w;
  const id = `${Note.recordType}/a/b c/${w.unique('d')}`;
  await client.publicDB.save(new Note({ _id: id, title: 'x' }));
  const found = await client.publicDB.getRecordByID(id);
  same([found.id, found.title], [id, 'x']);
});

test('getRecordByID: finds one, or says that there is none', async (w) => {
  const client = await w.user();
  const { Note } = w;
  const note = await client.publicDB.save(new Note({ title: 'x' }));
  const found = await client.publicDB.getRecordByID(note.id);
  same([found.id, found.title, found.recordType, found.createdAt], [note.id, 'x', Note.recordType, note.createdAt]);
  for (const missing of [`${Note.recordType}/none`, `${w.unique('never')}/none`]) {
    same(await client.publicDB.getRecordByID(missing).then(() => 'found', (e) => e.message), `${missing} does not exist`);
  }
});

test('delete: one', async (w) => {
  const client = await w.user();
  const { Note } = w;
  const note = await client.publicDB.save(new Note({ title: 'x' }));
  same(await client.publicDB.delete(note), undefined);
  await refused(client.publicDB.delete(note), { status: undefined, code: 110, name: 'ResourceNotFound' });
  same(await client.publicDB.getRecordByID(note.id).then(() => 'found', () => 'gone'), 'gone');
});

test('delete: many', async (w) => {
  const client = await w.user();
  const { Note } = w;
  const { savedRecords: [a, b] } = await client.publicDB.save([new Note({ n: 1 }), new Note({ n: 2 })]);
  const errors = await client.publicDB.del([a, new Note({ n: 3 }), b]);
  same([errors.length, errors[0], errors[1].code, errors[1]._type, errors[2]], [3, undefined, 110, 'error', undefined]);
});

test('delete: what a query found', async (w) => {
  const client = await w.user();
  const Note = w.type('note');
  await client.publicDB.save([new Note({ n: 1 }), new Note({ n: 2 })]);
  const found = await client.publicDB.query(new w.any.Query(Note));
  same(await client.publicDB.delete(found), [undefined, undefined]);
  same((await client.publicDB.query(new w.any.Query(Note))).length, 0);
});

test('privateDB: nobody has none', async (w) => {
  const client = await w.client();
  await refused((async () => client.privateDB.query(new w.any.Query(w.type('diary'))))(), { status: 401, code: 101 });
});

test('Record: types and ids', async (w) => {
  const { Record } = w.any;
  const Note = Record.extend('note', { shout() { return this.title.toUpperCase(); } });
  const note = new Note({ _id: 'note/1', title: 'x' });
  same([Note.recordType, note.recordType, note.id, note._id, note.shout()], ['note', 'note', 'note/1', '1', 'X']);
  ok(note instanceof Record, 'a note is no Record');
  ok(new Note()._id !== new Note()._id, 'two new records have one id');
  same(Record.parseID('a/b/c'), ['a', 'b/c']);
  throws(() => Record.parseID('note'), '_id is not valid');
  same([!!Record.validType('note'), !!Record.validType('_note'), !!Record.validType('')], [true, false, false]);
  throws(() => Record.extend('_note'), 'RecordType is not valid');
  throws(() => new Note({ _id: 'other/1' }), 'RecordType mismatch');
  same(new Record('note', { id: 'note/2' }).id, 'note/2');
  throws(() => new Record('_note'), 'RecordType is not valid');
});

test('Record: to JSON and back', async (w) => {
  const client = await w.user();
  const { Note } = w;
  const note = await client.publicDB.save(new Note({ title: 'x', at: new Date(1000) }));
  const short = note.toTruncatedJSON();
  same([short._id, short.title, short.at], [note.id, 'x', { $type: 'date', $date: '1970-01-01T00:00:01.000Z' }]);
  same('_created_at' in short, false);
  const json = JSON.parse(JSON.stringify(note.toJSON()));
  same([json._created_at, json._ownerID], [note.createdAt.toJSON(), note.ownerID]);
  const again = w.any.Record.fromJSON(json);
  same(again.toJSON(), note.toJSON());
  same(note.attributeKeys.sort(), ['at', 'title']);
  same(note.metaKeys.filter((key) => key !== '_access').sort(), ['createdAt', 'createdBy', 'ownerID', 'updatedAt', 'updatedBy']);
});

test('Record: update replaces the attributes', async (w) => {
  const { Note } = w;
  const note = new Note({ a: 1, b: 2 });
  note.update({ b: 3, c: { $type: 'date', $date: '1970-01-01T00:00:01Z' } });
  same([note.attributeKeys.sort(), note.b, note.c], [['b', 'c'], 3, new Date(1000)]);
  note.updateTransient({ a: 1 });
  note.updateTransient({ b: 2 }, true);
  same(note.$transient, { a: 1, b: 2 });
  note.updateTransient({ c: 3 });
  same(note.$transient, { c: 3 });
});
