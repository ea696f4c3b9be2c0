// What our client does and npm's does not, or does badly.
import { memory } from '../world.mjs';
import { ok, refused, same, soon } from '../check.mjs';
import { test } from '../suite.mjs';

const needs = ['ours'];

test('ours: no socket before somebody listens or speaks', async (w) => {
  const client = await w.client();
  await client.auth.signupAnonymously();
  same(client.pubsub._socket, undefined);
  const open = new Promise((resolve) => { client.pubsub.onOpen(resolve); });
  client.pubsub.publish('room', { n: 1 });
  await soon(open, 'the connection');
  ok(client.pubsub.connected, 'not connected');
  client.pubsub.close();
  same(client.pubsub.connected, false);
}, { needs });

test('ours: subscribe and unsubscribe are on and off', async (w) => {
  const client = await w.client();
  const callback = client.pubsub.subscribe('room', () => {});
  same(client.pubsub.hasHandlers('room'), true);
  client.pubsub.unsubscribe('room', () => {});
  same(client.pubsub.hasHandlers('room'), true, 'after another function');
  client.pubsub.unsubscribe('room', callback);
  same(client.pubsub.hasHandlers('room'), false);
}, { needs });

test('ours: leaves a channel that nobody listens to any more', async (w) => {
  const client = await w.client();
  const channel = w.unique('room');
  const first = client.pubsub.once(channel);
  const second = client.pubsub.on(channel, () => {});
  client.pubsub.publish(channel, { n: 1 });
  await soon(first, 'the message');
  const socket = client.pubsub._socket;
  const sent = [];
  socket.send = (frame) => sent.push(JSON.parse(frame));
  client.pubsub.off(channel, second);
  client.pubsub.off(channel);
  same(sent, [{ action: 'unsub', channel }]);
}, { needs });

test('ours: pages of relations', async (w) => {
  const client = await w.user();
  const users = [(await w.user()).auth.currentUser, (await w.user()).auth.currentUser];
  await client.relation.add(new client.Following(users));
  const query = new client.relation.Query(client.Following);
  query.limit = 1;
  const ids = [];
  for (query.page of [1, 2, 3]) ids.push((await client.relation.query(query)).map(({ _id }) => _id));
  same(ids, [...users.map(({ _id }) => [_id]).sort(), []]);
}, { needs });

test('ours: a handle ends listening to the connection', async (w) => {
  const client = await w.client();
  const seen = [];
  client.pubsub.onOpen(() => seen.push('gone')).cancel();
  const open = new Promise((resolve) => { client.pubsub.onOpen(resolve); });
  client.pubsub.on(w.unique('room'), () => {});
  await soon(open, 'the connection');
  same(seen, []);
}, { needs });

test('ours: a listener that throws keeps nothing from the others', async (w) => {
  const client = await w.client();
  const channel = w.unique('room');
  const thrown = new Promise((resolve) => {
    globalThis.process?.once('unhandledRejection', resolve);
    globalThis.addEventListener?.('unhandledrejection', (event) => {
      event.preventDefault();
      resolve(event.reason);
    }, { once: true });
  });
  client.pubsub.on(channel, () => { throw new Error('mine'); });
  const heard = client.pubsub.once(channel);
  client.pubsub.publish(channel, { n: 1 });
  same([await soon(heard, 'the message'), (await soon(thrown, 'the fault')).message], [{ n: 1 }, 'mine']);
}, { needs });

test('ours: a late refusal of an old token leaves the new user alone', async (w) => {
  const storage = memory();
  storage.setItem('skygear-accesstoken', 'no such token');
  const client = await w.client({ storage });
  const { fetch } = globalThis;
  try {
    const held = new Promise((resolve) => {
      globalThis.fetch = async (...request) => {
        const answer = await fetch(...request);
        await new Promise((go) => { resolve(go); });
        return answer;
      };
    });
    const late = client.publicDB.query(new w.any.Query(w.Note));
    const release = await soon(held, 'the answer to the query');
    globalThis.fetch = fetch;
    const user = await client.auth.signupAnonymously();
    release();
    await refused(late, { status: 401, code: 104 });
    ok(client.auth.currentUser === user && client.auth.accessToken, 'the new user is gone');
  } finally {
    globalThis.fetch = fetch;
  }
}, { needs });

test('ours: conditions after not stand beside it', async (w) => {
  const client = await w.user();
  const Bean = w.type('bean');
  await client.publicDB.save([new Bean({ n: 1, hot: true }), new Bean({ n: 2, hot: false }), new Bean({ n: 3, hot: false })]);
  const { Query } = w.any;
  const found = async (query) => (await client.publicDB.query(query.addAscending('n'))).map(({ n }) => n);
  const hot = () => new Query(Bean).equalTo('hot', true);
  same(await found(Query.not(hot()).greaterThan('n', 2)), [3]);
  same(await found(Query.not(Query.not(hot()))), [1]);
  same(await found(Query.or(hot(), new Query(Bean))), [1, 2, 3], 'or everything');
  same(await found(Query.and(hot(), new Query(Bean))), [1], 'and everything');
  same(await found(Query.clone(Query.not(hot()).transientInclude('_owner_id', 'owner'))), [2, 3]);
}, { needs });

test('ours: entries of an ACL that it does not know come back as they were', async (w) => {
  const entries = [{ public: true, level: 'read' }, { relation: '$direct', user_id: 'u', level: 'write' }, { relation: 'friend', level: 'read' }];
  same(w.any.ACL.fromJSON(entries).toJSON(), entries);
}, { needs });

test('ours: a record in the arguments of a function has its files stored, too', async (w) => {
  const client = await w.client();
  const note = new w.Note({ file: w.asset('a.txt', 'text/plain', 'a') });
  await refused(client.lambda('echo', { message: note }), { status: 400, code: 108 });
  same([note.file.file, typeof note.file.url], [undefined, 'string']);
}, { needs });

test('ours: an asset without a file is not uploaded', async (w) => {
  const client = await w.client();
  const asset = new w.any.Asset({ name: 'a.txt', contentType: 'text/plain' });
  same(await client.publicDB.uploadAsset(asset).then(() => 'stored', (e) => e.message), 'a.txt has no file to upload');
}, { needs });

test('ours: UnknownValue', async (w) => {
  const { UnknownValue } = w.any;
  const value = UnknownValue.fromJSON(new UnknownValue('money').toJSON());
  ok(value instanceof UnknownValue && value.underlyingType === 'money', 'another value');
}, { needs });
