// Friends and followers.
import { ok, refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

const names = (users) => Array.from(users, ({ nick }) => nick).sort();

// people are three users; name(i) is the nick of one.
async function people(w) {
  const clients = [];
  for (const nick of ['ada', 'bob', 'eve']) clients.push(await w.user({ nick }));
  const users = clients.map(({ auth }) => auth.currentUser);
  return { clients, users, name: (i) => users[i].nick };
}

test('relation: follow and be followed', async (w) => {
  const { clients: [ada, bob, eve], users, name } = await people(w);
  const added = await ada.relation.add(new ada.Following([users[1], users[2]]));
  same([names(added.success), added.fails, added.partialError], [[name(1), name(2)].sort(), [], false]);
  same(added.success[0].recordType, 'user');
  await eve.relation.add(new eve.Following([users[1]]));
  const following = await ada.relation.queryFollowing();
  same([names(following), following.overallCount], [[name(1), name(2)].sort(), 2]);
  same(names(await bob.relation.queryFollower()), [name(0), name(2)].sort());
  same(names(await ada.relation.queryFollower()), []);
});

test('relation: friends are mutual', async (w) => {
  const { clients: [ada, bob], users, name } = await people(w);
  const friend = new ada.Friend([users[1]]);
  same([friend.identifier, friend.direction, friend.targetsID], ['friend', 'mutual', [users[1]._id]]);
  await ada.relation.add(friend);
  same(names(await ada.relation.queryFriend()), []);
  await bob.relation.add(new bob.relation.Friend([users[0]]));
  same(names(await ada.relation.queryFriend()), [name(1)]);
  same(names(await bob.relation.queryFriend()), [name(0)]);
});

test('relation: remove', async (w) => {
  const { clients: [ada], users, name } = await people(w);
  await ada.relation.add(new ada.Following([users[1], users[2]]));
  const removed = await ada.relation.remove(new ada.Following([users[1]]));
  same([removed.success, removed.fails, removed.partialError], [[users[1]._id], [], false]);
  same(names(await ada.relation.queryFollowing()), [name(2)]);
  const again = await ada.relation.remove(new ada.Following([users[1]]));
  same([again.success, again.fails.length, again.partialError], [[], 1, true]);
});

test('relation: a target that is no user', async (w) => {
  const { clients: [ada], users } = await people(w);
  const nobody = new ada.UserRecord({ _id: `user/${w.unique('nobody')}` });
  const added = await ada.relation.add(new ada.Following([nobody, users[1]]));
  same([added.success.length, added.fails.length, added.fails[0].id, added.partialError], [1, 1, nobody._id, true]);
  same(added.fails[0].data.code, 110);
});

test('relation: pages', async (w) => {
  const { clients: [ada], users } = await people(w);
  await ada.relation.add(new ada.Following([users[1], users[2]]));
  const query = new ada.relation.Query(ada.relation.Following);
  query.limit = 1;
  const page = await ada.relation.query(query);
  same([page.length, page.overallCount], [1, 2]);
});

test('relation: only for users', async (w) => {
  await refused((await w.client()).relation.queryFriend(), { status: 401, code: 101 });
});

test('relation: the classes', async (w) => {
  const { any } = w;
  const followers = new any.Follower([]);
  same([followers.identifier, followers.direction, followers.targetsID], ['follow', 'inward', []]);
  const following = new any.relation.Following([]);
  same([following.identifier, following.direction], ['follow', 'outward']);
  same(new any.relation.Follower([]).direction, 'inward');
  const json = new any.relation.Query(any.Friend).toJSON();
  same([json.name, json.direction, json.limit], ['friend', 'mutual', 50]);
});

test('relation: in queries', async (w) => {
  const { Query } = w.any;
  const { clients: [ada, bob, eve], users } = await people(w);
  const Post = w.type('post');
  for (const [client, n] of [[ada, 1], [bob, 2], [eve, 3]]) await client.publicDB.save(new Post({ n }));
  await ada.relation.add(new ada.Following([users[1]]));
  await eve.relation.add(new eve.Following([users[0]]));
  const posts = async (query) => (await ada.publicDB.query(query)).map(({ n }) => n).sort();
  same(await posts(new Query(Post).havingRelation('_owner', ada.Following)), [2]);
  same(await posts(new Query(Post).havingRelation('_owner', ada.Follower)), [3]);
  same(await posts(new Query(Post).notHavingRelation('_owner', ada.Following)), [1, 3]);
  await ada.relation.add(new ada.Friend([users[1]]));
  await bob.relation.add(new bob.Friend([users[0]]));
  same(await posts(new Query(Post).havingRelation('_owner', ada.Friend)), [2]);
  ok((await posts(new Query(Post).havingRelation('_owner', ada.Friend).equalTo('n', 1))).length === 0, 'both conditions must hold');
});
