// Accounts: signing up, logging in and out, passwords, what is kept for the next page.
import { memory, wait } from '../world.mjs';
import { ok, refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

test('auth: signupWithUsername logs in and gives the user', async (w) => {
  const client = await w.client();
  const username = w.unique('ada');
  const user = await client.auth.signupWithUsername(username, 'secret', { age: 36, born: new Date(1000) });
  same([user.recordType, user.username, user.age, user.born], ['user', username, 36, new Date(1000)]);
  ok(/^[0-9a-f-]{36}$/.test(user._id), `the id is ${user._id}`);
  same(user.ownerID, user._id);
  ok(client.auth.currentUser === user, 'currentUser is another record');
  ok(typeof client.auth.accessToken === 'string' && client.auth.accessToken.length > 20, 'no token');
});

test('auth: signupWithEmail, signup', async (w) => {
  const client = await w.client();
  const email = `${w.unique('ada')}@example.com`;
  same((await client.auth.signupWithEmail(email, 'secret')).email, email);
  const username = w.unique('ada');
  const user = await client.auth.signup({ username, email: `other_${email}` }, 'secret', { nick: 'A' });
  same([user.username, user.email, user.nick], [username, `other_${email}`, 'A']);
});

test('auth: signupAnonymously gives a user without a name', async (w) => {
  const client = await w.client();
  const user = await client.auth.signupAnonymously();
  same([user.username, user.email], [undefined, undefined]);
  const note = await client.publicDB.save(new w.Note({ n: 1 }));
  same(note.ownerID, user._id);
});

test('auth: what a sign-up may not say', async (w) => {
  const client = await w.client();
  const username = w.unique('ada');
  await client.auth.signupWithUsername(username, 'secret');
  await refused(client.auth.signupWithUsername(username, 'other'), { status: 409, code: 109, name: 'Duplicated' });
  await refused(client.auth.signupWithUsername(username.toUpperCase(), 'other'), { status: 409, code: 109 });
  await refused(client.auth.signup({ phone: '1' }, 'secret'), { status: 400, code: 108, arguments: ['auth_data'] });
  await refused(client.auth.signupWithUsername(w.unique('ada'), ''), { status: 400, code: 108, arguments: ['password'] });
  const twice = w.unique('ada');
  await refused(client.auth.signupWithUsername(twice, 'secret', { username: twice }), { status: 400, code: 108, arguments: ['username'] });
});

test('auth: logging in', async (w) => {
  const first = await w.client();
  const [username, email] = [w.unique('ada'), `${w.unique('ada')}@example.com`];
  const { _id } = await first.auth.signup({ username, email }, 'secret', { age: 36 });
  const ways = [
    (auth) => auth.loginWithUsername(username, 'secret'),
    (auth) => auth.loginWithUsername(username.toUpperCase(), 'secret'),
    (auth) => auth.loginWithEmail(email, 'secret'),
    (auth) => auth.login({ username }, 'secret'),
    (auth) => auth.login({ email: email.toUpperCase() }, 'secret'),
  ];
  for (const way of ways) {
    const client = await w.client();
    const user = await way(client.auth);
    same([user._id, user.username, user.email, user.age, client.auth.currentUser._id], [_id, username, email, 36, _id]);
    ok(user.last_login_at instanceof Date, `last_login_at is ${user.last_login_at}`);
  }
});

test('auth: who may not log in', async (w) => {
  const client = await w.client();
  const username = w.unique('ada');
  await client.auth.signupWithUsername(username, 'secret');
  await client.auth.logout();
  await refused(client.auth.loginWithUsername(username, 'wrong'), { status: 401, code: 105, name: 'InvalidCredentials' });
  await refused(client.auth.loginWithUsername(w.unique('nobody'), 'secret'), { status: 404, code: 110, name: 'ResourceNotFound' });
  await refused(client.auth.login({ phone: '1' }, 'secret'), { status: 400, code: 108, arguments: ['auth_data'] });
  same([client.auth.currentUser, client.auth.accessToken], [null, null]);
});

test('auth: logout ends the session', async (w) => {
  const storage = memory();
  const client = await w.client({ storage });
  await client.auth.signupWithUsername(w.unique('ada'), 'secret');
  const stolen = memory();
  for (const key of ['skygear-accesstoken', 'skygear-user']) stolen.setItem(key, storage.getItem(key));
  same(await client.auth.logout(), null);
  same([client.auth.currentUser, client.auth.accessToken], [null, null]);
  same([storage.getItem('skygear-accesstoken'), storage.getItem('skygear-user')], [null, null]);
  await refused(client.auth.whoami(), { status: 401, code: 101 });

  const thief = await w.client({ storage: stolen });
  ok(thief.auth.accessToken, 'the token was not taken up');
  await refused(thief.auth.whoami(), { status: 401, code: 104, name: 'AccessTokenNotAccepted' });
  same([thief.auth.currentUser, thief.auth.accessToken], [null, null], 'after the refusal');
});

test('auth: the next page is logged in, too', async (w) => {
  const storage = memory();
  const client = await w.client({ storage });
  const user = await client.auth.signupWithUsername(w.unique('ada'), 'secret', { born: new Date(1000) });
  const next = await w.client({ storage });
  same([next.auth.currentUser.id, next.auth.currentUser.born, next.auth.accessToken], [user.id, new Date(1000), client.auth.accessToken]);
  same((await next.publicDB.save(new w.Note({ n: 1 }))).ownerID, user._id);
});

test('auth: whoami gives the user and a new token', async (w) => {
  const client = await w.client();
  const user = await client.auth.signupWithUsername(w.unique('ada'), 'secret', { age: 36 });
  const old = client.auth.accessToken;
  const again = await client.auth.whoami();
  same([again.id, again.age, again.username], [user.id, 36, user.username]);
  ok(client.auth.currentUser === again, 'currentUser is another record');
  ok(client.auth.accessToken !== old, 'the token is the old one');
  await refused((await w.client()).auth.whoami(), { status: 401, code: 101, name: 'NotAuthenticated' });
});

test('auth: onUserChanged tells who comes and goes', async (w) => {
  const client = await w.client();
  const seen = [];
  const handle = client.auth.onUserChanged((user) => seen.push(user && user.username));
  const username = w.unique('ada');
  await client.auth.signupWithUsername(username, 'secret');
  await client.auth.logout();
  handle.cancel();
  await client.auth.loginWithUsername(username, 'secret');
  same(seen, [username, null]);
});

test('auth: changePassword ends the other sessions', async (w) => {
  const client = await w.client();
  const username = w.unique('ada');
  await client.auth.signupWithUsername(username, 'secret');
  const other = await w.client();
  await other.auth.loginWithUsername(username, 'secret');
  await refused(client.auth.changePassword('wrong', 'fresh'), { status: 401, code: 105 });
  await refused(client.auth.changePassword('secret', ''), { status: 400, code: 108 });
  const message = await client.auth.changePassword('secret', 'fresh', true).then(() => 'changed', (e) => e.message);
  same(message, 'Invalidate is not yet implemented');
  await wait(1200); // tokens that are less than a second older than the change live on
  const user = await client.auth.changePassword('secret', 'fresh');
  same(user.username, username);
  same((await client.auth.whoami()).username, username, 'with the new token');
  await refused(other.auth.whoami(), { status: 401, code: 104 });
  const again = await w.client();
  await refused(again.auth.loginWithUsername(username, 'secret'), { status: 401, code: 105 });
  same((await again.auth.loginWithUsername(username, 'fresh')).username, username);
});

test('auth: a user changes the own record', async (w) => {
  const client = await w.client();
  const user = await client.auth.signupWithUsername(w.unique('ada'), 'secret', { age: 36 });
  user.age = 37;
  same((await client.publicDB.save(user)).age, 37);
  same((await client.auth.whoami()).age, 37);
  const [found] = await client.publicDB.query(new w.any.Query(client.UserRecord).equalTo('_id', user._id));
  same([found.username, found.age], [user.username, 37]);
  const stranger = await (await w.client()).publicDB.getRecordByID(user.id);
  same([stranger.age, stranger.username], [37, undefined], 'what nobody in particular sees');
  await refused(client.publicDB.delete(user), { code: 102, name: 'PermissionDenied' });
});

test('auth: adminResetPassword takes the master key', async (w) => {
  const admin = await w.admin();
  const client = await w.account();
  const { username } = client.auth.currentUser;
  const user = client.auth.currentUser;
  await refused(client.auth.adminResetPassword(user, 'fresh'), { status: 401, code: 102, name: 'PermissionDenied' });
  same(await admin.auth.adminResetPassword(user, 'fresh'), user._id);
  same(admin.auth.currentUser, null, 'the administrator');
  const again = await w.client();
  same((await again.auth.loginWithUsername(username, 'fresh'))._id, user._id);
  same(await admin.auth.adminResetPassword(user._id, 'other'), user._id);
  await refused(again.auth.loginWithUsername(username, 'fresh'), { status: 401, code: 105 });
  await refused(admin.auth.adminResetPassword('nobody', 'fresh'), { status: 500, code: 10001 });
});

test('auth: adminDisableUser keeps a user out, adminEnableUser lets one in', async (w) => {
  const admin = await w.admin();
  const client = await w.account();
  const user = client.auth.currentUser;
  await refused(client.auth.adminDisableUser(user), { status: 401, code: 102 });
  const expiry = new Date(Math.floor(Date.now() / 1000) * 1000 + 3600000);
  same(await admin.auth.adminDisableUser(user, 'spam', expiry), user._id);
  const login = async () => (await w.client()).auth.loginWithUsername(user.username, 'secret');
  const error = await refused(login(), { status: 403, code: 127, name: 'UserDisabled' });
  same([error.info.message, new Date(error.info.expiry)], ['spam', expiry]);
  await refused(client.publicDB.save(new w.Note({ n: 1 })), { status: 403, code: 127 });
  same(await admin.auth.adminEnableUser(user._id), user._id);
  same((await login())._id, user._id);
  same(await admin.auth.adminDisableUser(user._id), user._id);
  await refused(login(), { status: 403, code: 127 });
  await refused(admin.auth.adminEnableUser('nobody'), { status: 404, code: 110 });
});

test('auth: loginWithProvider, without such a provider', async (w) => {
  const client = await w.client();
  await refused(client.auth.loginWithProvider('com.example', { k: 1 }), { status: 400, code: 108, arguments: ['provider'] });
});
