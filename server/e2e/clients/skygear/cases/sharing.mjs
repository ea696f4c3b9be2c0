// What several users may do to one record.
import { ok, refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

test('save: many, some of them refused', async (w) => {
  const owner = await w.user();
  const { Note } = w;
  const locked = new Note({ title: 'mine' });
  locked.setPublicReadOnly();
  await owner.publicDB.save(locked);

  const client = await w.user();
  const first = new Note({ title: 'a' });
  const { savedRecords, errors } = await client.publicDB.save([first, new Note({ _id: locked.id, title: 'stolen' }), new Note({ title: 'c' })]);
  same([savedRecords.length, errors.length], [3, 3]);
  same([savedRecords[0] === first, savedRecords[1], savedRecords[2].title], [true, undefined, 'c']);
  same([errors[0], errors[2]], [undefined, undefined]);
  same([errors[1]._type, errors[1]._id, errors[1].code, errors[1].name], ['error', locked.id, 102, 'PermissionDenied']);
  same((await client.publicDB.getRecordByID(locked.id)).title, 'mine');
});

test('save: one that is refused rejects with its error', async (w) => {
  const owner = await w.user();
  const { Note } = w;
  const locked = new Note({ title: 'mine' });
  locked.setPublicReadOnly();
  await owner.publicDB.save(locked);
  const client = await w.user();
  await refused(client.publicDB.save(new Note({ _id: locked.id, title: 'stolen' })), { status: undefined, code: 102, name: 'PermissionDenied' });
});

test('save: atomic, all or nothing', async (w) => {
  const owner = await w.user();
  const { Note } = w;
  const locked = new Note({ title: 'mine' });
  locked.setPublicReadOnly();
  await owner.publicDB.save(locked);

  const client = await w.user();
  const fine = [new Note({ title: 'a' }), new Note({ title: 'b' })];
  const { savedRecords } = await client.publicDB.save(fine, { atomic: true });
  same(savedRecords.map((r) => r.title), ['a', 'b']);

  const lost = new Note({ title: 'lost' });
  const batch = [lost, new Note({ _id: locked.id, title: 'stolen' })];
  const error = await refused(client.publicDB.save(batch, { atomic: true }), { status: 409, code: 115, name: 'AtomicOperationFailure' });
  same(error.info[locked.id].code, 102);
  const gone = await client.publicDB.getRecordByID(lost.id).then(() => 'kept', (e) => e.message);
  same(gone, `${lost.id} does not exist`);
});

test('delete: only who may write', async (w) => {
  const owner = await w.user();
  const note = new w.Note({ title: 'mine' });
  note.setPublicReadOnly();
  await owner.publicDB.save(note);
  const client = await w.user();
  await refused(client.publicDB.delete(note), { code: 102, name: 'PermissionDenied' });
});

test('privateDB: is the user\'s own', async (w) => {
  const client = await w.user();
  const other = await w.user();
  const Diary = w.type('diary');
  const page = await client.privateDB.save(new Diary({ title: 'secret' }));
  same((await client.privateDB.query(new w.any.Query(Diary))).map((r) => r.title), ['secret']);
  same((await client.privateDB.getRecordByID(page.id)).title, 'secret');
  same((await client.publicDB.query(new w.any.Query(Diary))).length, 0, 'public');
  same((await other.privateDB.query(new w.any.Query(Diary))).length, 0, 'of another user');
  await refused(other.privateDB.delete(page), { code: 110 });
  same(await client.privateDB.delete(page), undefined);
});

test('query: what others may not read does not show', async (w) => {
  const { Query } = w.any;
  const owner = await w.user();
  const Note = w.type('note');
  const hidden = new Note({ n: 1 });
  hidden.setPublicNoAccess();
  await owner.publicDB.save([hidden, new Note({ n: 2 })]);
  const counted = () => Object.assign(new Query(Note), { overallCount: true });
  const others = await (await w.user()).publicDB.query(counted());
  same([others.map((r) => r.n), others.overallCount], [[2], 1]);
  same((await owner.publicDB.query(counted())).overallCount, 2);
});

test('query: includes the owner of a record', async (w) => {
  const client = await w.user({ nick: 'ada' });
  const { Note } = w;
  await client.publicDB.save(new Note({ n: 1 }));
  const [note] = await client.publicDB.query(new w.any.Query(Note).transientInclude('_owner_id', 'owner').equalTo('_owner_id', client.auth.currentUser._id));
  same([note.$transient.owner.id, note.$transient.owner.nick], [client.auth.currentUser.id, 'ada']);
});
