import {Role} from './acl.mjs';
import {Listeners} from './listeners.mjs';
import {UserRecord} from './record.mjs';
import {toJSON} from './values.mjs';

const TOKEN = 'skygear-accesstoken';
const USER = 'skygear-user';

const idOf = (user) => user._id || user;
const nameOf = (role) => role.name || role;

// Auth is skygear.auth: who is logged in, and the accounts. Everything that logs in resolves with the user's record and
// keeps user and token in localStorage, where the next page finds them.
export class Auth {
  constructor(client) {
    this._client = client;
    this._changed = new Listeners();
    this._user = null;
    this._token = null;
  }

  get currentUser() { return this._user; }
  get accessToken() { return this._token; }

  // onUserChanged calls back with the record of whoever logged in, or with null. It returns a handle with cancel().
  onUserChanged(listener) { return this._changed.add(listener); }

  signup(authData, password, profile = {}) {
    return this._enter('auth:signup', {auth_data: authData, password, profile: toJSON(profile)});
  }

  signupWithUsername(username, password, profile) { return this.signup({username}, password, profile); }
  signupWithEmail(email, password, profile) { return this.signup({email}, password, profile); }
  signupAnonymously() { return this.signup(null, null, null); }

  login(authData, password) { return this._enter('auth:login', {auth_data: authData, password}); }
  loginWithUsername(username, password) { return this.login({username}, password); }
  loginWithEmail(email, password) { return this.login({email}, password); }
  loginWithProvider(provider, data) { return this._enter('auth:login', {provider, provider_auth_data: data}); }
  loginWithCustomToken(token) { return this._enter('sso:custom_token:login', {token}); }

  whoami() { return this._enter('me', {}); }

  async changePassword(oldPassword, newPassword, invalidate = false) {
    if (invalidate) throw new Error('Invalidate is not yet implemented');
    return this._enter('auth:password', {old_password: oldPassword, password: newPassword});
  }

  // logout forgets the user in any case; it rejects when the server could not be told.
  async logout() {
    try {
      await this._client.makeRequest('auth:logout', {});
      return null;
    } finally {
      this._set(null, null);
    }
  }

  // For administrators, or with the master key. They resolve with the user's id.
  adminResetPassword(user, password) { return this._administer('auth:reset_password', user, {password}); }
  adminEnableUser(user) { return this._administer('auth:disable:set', user, {disabled: false}); }

  adminDisableUser(user, message, expiry) {
    return this._administer('auth:disable:set', user, {
      disabled: true, ...(message && {message}), ...(expiry && {expiry: expiry.toJSON()}),
    });
  }

  // setAdminRole and setDefaultRole replace the whole set of such roles.
  setAdminRole(roles) { return this._result('role:admin', {roles: roles.map(nameOf)}); }
  setDefaultRole(roles) { return this._result('role:default', {roles: roles.map(nameOf)}); }
  assignUserRole(users, roles) { return this._result('role:assign', {users: users.map(idOf), roles: roles.map(nameOf)}); }
  revokeUserRole(users, roles) { return this._result('role:revoke', {users: users.map(idOf), roles: roles.map(nameOf)}); }

  // fetchUserRole resolves with {user id: [Role]}.
  async fetchUserRole(users) {
    const roles = await this._result('role:get', {users: users.map(idOf)});
    return Object.fromEntries(Object.entries(roles).map(([user, names]) => [user, names.map(Role.define)]));
  }

  // Functions of the app that a forgot-password plugin brings; without one they reject with code 117.
  forgotPassword(email) { return this._client.lambda('user:forgot-password', {email}); }
  requestVerification(key) { return this._client.lambda('user:verify_request', {record_key: key}); }

  resetPassword(userID, code, expireAt, password) {
    return this._client.lambda('user:reset-password', {user_id: userID, code, expire_at: expireAt, new_password: password});
  }

  async verifyUserWithCode(code) {
    await this._client.lambda('user:verify_code', {code});
    return this.whoami();
  }

  // Functions of the app that a single-sign-on plugin brings.
  async loginOAuthProviderWithAccessToken(provider, token) {
    return this._accept(await this._client.lambda(`sso/${provider}/login`, {access_token: token}));
  }

  linkOAuthProviderWithAccessToken(provider, token) { return this._client.lambda(`sso/${provider}/link`, {access_token: token}); }
  unlinkOAuthProvider(provider) { return this._client.lambda(`sso/${provider}/unlink`); }
  getOAuthProviderProfiles() { return this._client.lambda('sso/provider_profiles'); }

  async _enter(action, params) { return this._accept(await this._client.makeRequest(action, params)); }

  _accept({result}) {
    this._set(new UserRecord(result.profile), result.access_token);
    return this._user;
  }

  async _result(action, params) { return (await this._client.makeRequest(action, params)).result; }

  async _administer(action, user, params) {
    await this._client.makeRequest(action, {auth_id: idOf(user), ...params});
    return idOf(user);
  }

  // _restore takes up what an earlier page left.
  _restore() {
    const {storage} = this._client;
    try {
      this._token = storage.getItem(TOKEN);
      const user = storage.getItem(USER);
      this._user = user ? new UserRecord(JSON.parse(user)) : null;
    } catch (cause) {
      console.warn('skygear: cannot restore the user', cause);
    }
  }

  // _drop forgets the user whose token the server no longer takes, unless another one has logged in meanwhile.
  _drop(token) {
    if (token && token === this._token) this._set(null, null);
  }

  _set(user, token) {
    this._user = user;
    this._token = token;
    this._keep(TOKEN, token);
    this._keep(USER, user && JSON.stringify(user));
    this._changed.tell(user);
  }

  _keep(key, value) {
    const {storage} = this._client;
    try {
      if (value) storage.setItem(key, value);
      else storage.removeItem(key);
    } catch (cause) {
      console.warn('skygear: cannot keep the user for the next page', cause);
    }
  }
}
