// Logging in with what others vouch for, and what only plugins offer.
import { ok, refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

// signed makes a JSON web token of the claims.
async function signed(claims, secret) {
  const encode = (text) => new TextEncoder().encode(text);
  const head = `${base64url(encode('{"alg":"HS256","typ":"JWT"}'))}.${base64url(encode(JSON.stringify(claims)))}`;
  const key = await crypto.subtle.importKey('raw', encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return `${head}.${base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, encode(head))))}`;
}

test('sso: loginWithCustomToken', async (w) => {
  const client = await w.client();
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: w.unique('elsewhere'), iat: now, exp: now + 600 };
  const token = (more, secret = w.settings.customTokenSecret) => signed({ ...claims, ...more }, secret);
  const user = await client.auth.loginWithCustomToken(await token({ skyprofile: { nick: 'A' } }));
  same([user.recordType, user.nick, client.auth.currentUser.id], ['user', 'A', user.id]);
  const again = await (await w.client()).auth.loginWithCustomToken(await token({ skyprofile: { age: 3 } }));
  same([again.id, again.nick, again.age], [user.id, 'A', 3]);

  const stranger = await w.client();
  await refused(stranger.auth.loginWithCustomToken(await token({}, 'another secret')), { status: 400, code: 107, name: 'BadRequest' });
  await refused(stranger.auth.loginWithCustomToken(await token({ exp: now - 60 })), { status: 400, code: 107 });
  await refused(stranger.auth.loginWithCustomToken('no token'), { status: 400, code: 107 });
  await refused(stranger.auth.loginWithCustomToken(await token({ sub: undefined })), { status: 401, code: 105 });
  same(stranger.auth.currentUser, null);
});

test('sso: the actions that plugins use', async (w) => {
  const admin = await w.admin();
  const act = (action, params) => admin.makeRequest(`sso:oauth:${action}`, { provider: 'example', ...params });
  const id = w.unique('principal');
  const { result: made } = await act('signup', { principal_id: id, profile: { nick: 'A' } });
  same([made.profile._id, made.profile.nick], [`user/${made.user_id}`, 'A']);
  same((await act('login', { principal_id: id })).result.user_id, made.user_id);
  await refused(act('signup', { principal_id: id }), { status: 400, code: 108 });
  await refused(act('login', { principal_id: w.unique('principal') }), { status: 401, code: 105 });
  await refused(act('login', {}), { status: 400, code: 108, arguments: ['principal_id'] });

  const user = (await w.user()).auth.currentUser;
  const other = w.unique('principal');
  same((await act('link', { principal_id: other, user_id: user._id })).result, 'OK');
  same((await act('login', { principal_id: other })).result.user_id, user._id);
  await refused(act('link', { principal_id: other, user_id: made.user_id }), { status: 400, code: 108 });
  same((await act('unlink', { user_id: user._id })).result, 'OK');
  await refused(act('unlink', { user_id: user._id }), { status: 404, code: 110 });
  await refused(act('login', { principal_id: other }), { status: 401, code: 105 });
  const client = await w.client();
  await refused(client.makeRequest('sso:oauth:login', { provider: 'example', principal_id: id }), { status: 401, code: 102 });
});

const noPlugin = { status: 404, code: 117, name: 'UndefinedOperation' };

test('plugins: forgotten passwords and verification are theirs', async (w) => {
  const { auth } = await w.user();
  await refused(auth.forgotPassword('ada@example.com'), noPlugin);
  await refused(auth.resetPassword('id', 'code', 1700000000, 'secret'), noPlugin);
  await refused(auth.requestVerification('email'), noPlugin);
  await refused(auth.verifyUserWithCode('123456'), noPlugin);
  ok(auth.currentUser, 'logged out');
});

test('plugins: OAuth by an access token is theirs', async (w) => {
  const { auth } = await w.user();
  await refused(auth.loginOAuthProviderWithAccessToken('google', 'token'), noPlugin);
  await refused(auth.linkOAuthProviderWithAccessToken('google', 'token'), noPlugin);
  await refused(auth.unlinkOAuthProvider('google'), noPlugin);
  await refused(auth.getOAuthProviderProfiles(), noPlugin);
});

test('plugins: the pages of OAuth are theirs', async (w) => {
  const { auth } = await w.user();
  await refused(auth.oauthHandler(), noPlugin);
  await refused(auth.iframeHandler(), noPlugin);
}, { needs: ['Auth.oauthHandler'] });

test('plugins: OAuth in other windows is theirs', async (w) => {
  const { auth } = await w.user();
  const options = { callbackURL: 'http://localhost/', scope: ['email'], options: { prompt: 'login' } };
  await refused(auth.loginOAuthProviderWithPopup('google', options), noPlugin);
  await refused(auth.linkOAuthProviderWithPopup('google', options), noPlugin);
  await refused(auth.loginOAuthProviderWithRedirect('google', options), noPlugin);
  await refused(auth.linkOAuthProviderWithRedirect('google', options), noPlugin);
  same([await auth.getLoginRedirectResult(), await auth.getLinkRedirectResult()], [undefined, undefined]);
}, { needs: ['Auth.loginOAuthProviderWithPopup'] });
