// A program that must compile against /sdk/skygear.d.mts. Lines under @ts-expect-error must not.
import skygear, { type ACL, type QueryResult, type Record, type Refusal, type Reference } from './sdk/skygear.mjs';

interface NoteFields {
  title: string;
  stars?: number;
  at?: Date;
  city?: Reference;
}

const Note = skygear.Record.extend<NoteFields>('note');

export async function story(): Promise<string> {
  await skygear.config({ endPoint: 'https://shop.example/', apiKey: 'KEY' });
  const user = await skygear.auth.signupWithUsername('ada', 'secret', { born: new Date(), tags: ['a', null] });
  const name: string | undefined = user.username;

  const note = new Note({ title: 'First' });
  note.stars = 3;
  note.setReadWriteAccessForUser(user);
  note.setReadOnlyForRole(new skygear.Role('editor'));
  const saved = await skygear.publicDB.save(note);
  const title: string = saved.title;
  const { savedRecords, errors } = await skygear.publicDB.save([note, new Note({ title: 'Second' })], { atomic: true });
  const code: number | undefined = errors[0]?.code;
  const first: string | undefined = savedRecords[0]?.title;

  const { Query } = skygear;
  const query = Query.or(
    new Query(Note).like('title', 'F%').greaterThan('_created_at', new Date(0)),
    Query.not(new Query(Note).contains('stars', [1, 2])),
  ).addAscendingByDistance('place', new skygear.Geolocation(22, 114)).transientInclude('city');
  query.overallCount = true;
  const found: QueryResult<Record & NoteFields> = await skygear.publicDB.query(query);
  const count: number | undefined = found.overallCount;
  found.map((one) => one.title.toUpperCase());
  await skygear.publicDB.delete(found);
  const acl: ACL = found[0].access;
  acl.setPublicNoAccess();
  await skygear.publicDB.setRecordDefaultAccess(Note, acl);

  const handle = skygear.auth.onUserChanged((who) => who?.username);
  handle.cancel();
  const heard = await skygear.pubsub.once('room');
  skygear.pubsub.publish('room', { heard });
  const asset = await skygear.publicDB.uploadAsset(new skygear.Asset({ name: 'a.txt', file: new Blob(['a'], { type: 'text/plain' }) }));
  const friends = await skygear.relation.queryFriend();
  await skygear.relation.add(new skygear.Friend([friends[0]]));
  const paid = await skygear.lambda<{ results?: 'failed' }>('process_payment', { product_price: 1000 });
  try {
    await skygear.auth.login({ email: 'a@b.c' }, 'x');
  } catch (thrown) {
    const { status, error } = thrown as Refusal;
    if ('code' in error && error.code === skygear.ErrorCodes.InvalidCredentials) return `${status} ${error.message}`;
  }
  const again = new skygear.Error('no', skygear.ErrorCodes.ResourceNotFound, { id: note.id });
  return [name, title, code, first, count, asset.url, paid.results, again.code].join();
}

// @ts-expect-error a note has no such field
new Note({ no: 1 });
// @ts-expect-error a title is text
new Note({ title: 1 });
// @ts-expect-error a user comes with a password
void skygear.auth.signupWithUsername('ada');
// @ts-expect-error only objects are published
skygear.pubsub.publish('room', 'text');
// @ts-expect-error undefined is no value
new skygear.Query(Note).equalTo('title', undefined);
// @ts-expect-error there is no such call
void skygear.publicDB.saveAll([]);
