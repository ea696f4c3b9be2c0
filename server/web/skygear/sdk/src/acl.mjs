import {Record} from './record.mjs';

// Role names a group of users.
export class Role {
  constructor(name) {
    if (!Role.isValidName(name)) throw new Error('Role name is not valid. Please start with alphanumeric string.');
    this._name = name;
  }

  get name() { return this._name; }

  static isValidName(name) { return Boolean(name); }
  static define(name) { return new Role(name); }
  static contain(roles, role) { return roles.some(({name}) => name === role.name); }
  static union(roles, role) { return Role.contain(roles, role) ? roles : [...roles, role]; }
  static subtract(roles, role) { return roles.filter(({name}) => name !== role.name); }
}

const rank = {read: 1, write: 2};

function higher(a, b) { return (rank[a] || 0) < rank[b] ? b : a; }

function reaches(granted, level) { return (rank[granted] || 0) >= rank[level]; }

function roleName(role) {
  if (!(role instanceof Role)) throw new Error(`${role} is not a role.`);
  return role.name;
}

function userID(user) {
  if (!(user instanceof Record) || user.recordType !== 'user') throw new Error(`${user} is not a user.`);
  return user._id;
}

// ACL says who may read and write a record beside its owner. A new one lets everybody read.
export class ACL {
  constructor(entries) {
    this.public = entries ? null : 'read';
    this.roles = Object.create(null);
    this.users = Object.create(null);
    this.others = []; // entries that only the server understands
    for (const entry of entries || []) {
      const {role, user_id: user, level = 'read'} = entry;
      if (entry.public) this.public = higher(this.public, level);
      else if (role) this.roles[role] = higher(this.roles[role], level);
      else if (user && !entry.relation) this.users[user] = higher(this.users[user], level);
      else this.others.push(entry);
    }
  }

  static fromJSON(entries) { return new ACL(entries); }

  toJSON() {
    const entries = [{public: true, level: this.public}];
    for (const [role, level] of Object.entries(this.roles)) entries.push({role, level});
    for (const [user, level] of Object.entries(this.users)) entries.push({user_id: user, level});
    return entries.filter(({level}) => level).concat(this.others);
  }

  setPublicNoAccess() { this.public = null; }
  setPublicReadOnly() { this.public = 'read'; }
  setPublicReadWriteAccess() { this.public = 'write'; }
  setNoAccessForRole(role) { this.roles[roleName(role)] = null; }
  setReadOnlyForRole(role) { this.roles[roleName(role)] = 'read'; }
  setReadWriteAccessForRole(role) { this.roles[roleName(role)] = 'write'; }
  setNoAccessForUser(user) { this.users[userID(user)] = null; }
  setReadOnlyForUser(user) { this.users[userID(user)] = 'read'; }
  setReadWriteAccessForUser(user) { this.users[userID(user)] = 'write'; }

  hasPublicReadAccess() { return reaches(this.public, 'read'); }
  hasPublicWriteAccess() { return reaches(this.public, 'write'); }
  hasReadAccessForRole(role) { return reaches(higher(this.public, this.roles[roleName(role)]), 'read'); }
  hasWriteAccessForRole(role) { return reaches(higher(this.public, this.roles[roleName(role)]), 'write'); }
  hasReadAccessForUser(user) { return reaches(higher(this.public, this.users[userID(user)]), 'read'); }
  hasWriteAccessForUser(user) { return reaches(higher(this.public, this.users[userID(user)]), 'write'); }
  hasReadAccess(user, roles) { return this.hasReadAccessForUser(user) || roles.some((r) => this.hasReadAccessForRole(r)); }
  hasWriteAccess(user, roles) { return this.hasWriteAccessForUser(user) || roles.some((r) => this.hasWriteAccessForRole(r)); }
}
