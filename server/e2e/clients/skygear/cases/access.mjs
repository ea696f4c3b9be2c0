// Who may read and write: ACLs, roles, rules of record types and fields.
import { ok, refused, same, throws } from '../check.mjs';
import { test } from '../suite.mjs';

const can = (promise) => promise.then(() => true, (error) => {
  if (error.code === 102 || /does not exist/.test(error.message)) return false;
  throw error;
});

// rights says whether a client may read and write a record.
async function rights(client, record) {
  const found = await can(client.publicDB.getRecordByID(record.id));
  const copy = new record.constructor({ _id: record.id, touched: Math.random() });
  return `${found ? 'r' : '-'}${await can(client.publicDB.save(copy)) ? 'w' : '-'}`;
}

test('ACL: everybody', async (w) => {
  const owner = await w.user();
  const other = await w.user();
  const { Note } = w;
  const note = new Note({ n: 1 });
  const now = async () => {
    await owner.publicDB.save(note);
    return [await rights(owner, note), await rights(other, note)];
  };
  same(await rights(other, await owner.publicDB.save(new Note({ n: 0 }))), 'rw', 'without an ACL');
  note.setPublicNoAccess();
  same(await now(), ['rw', '--']);
  note.setPublicReadOnly();
  same(await now(), ['rw', 'r-']);
  note.setPublicReadWriteAccess();
  same(await now(), ['rw', 'rw']);
});

test('ACL: single users', async (w) => {
  const owner = await w.user();
  const other = await w.user();
  const third = await w.user();
  const note = new w.Note({ n: 1 });
  note.setPublicNoAccess();
  note.setReadOnlyForUser(other.auth.currentUser);
  await owner.publicDB.save(note);
  same([await rights(other, note), await rights(third, note)], ['r-', '--']);
  note.setReadWriteAccessForUser(other.auth.currentUser);
  await owner.publicDB.save(note);
  same([await rights(other, note), await rights(third, note)], ['rw', '--']);
  note.setNoAccessForUser(other.auth.currentUser);
  await owner.publicDB.save(note);
  same(await rights(other, note), '--');
});

test('ACL: roles', async (w) => {
  const { Role } = w.any;
  const admin = await w.admin();
  const owner = await w.user();
  const editor = await w.user();
  const other = await w.user();
  const role = new Role(w.unique('Editor'));
  await admin.auth.assignUserRole([editor.auth.currentUser], [role]);
  const note = new w.Note({ n: 1 });
  note.setPublicNoAccess();
  note.setReadOnlyForRole(role);
  await owner.publicDB.save(note);
  same([await rights(editor, note), await rights(other, note)], ['r-', '--']);
  note.setReadWriteAccessForRole(role);
  await owner.publicDB.save(note);
  same([await rights(editor, note), await rights(other, note)], ['rw', '--']);
  note.setNoAccessForRole(role);
  await owner.publicDB.save(note);
  same(await rights(editor, note), '--');
});

test('ACL: what the object says', async (w) => {
  const { ACL, Role } = w.any;
  const user = (await w.user()).auth.currentUser;
  const role = new Role('Editor');
  const acl = new ACL();
  same(acl.toJSON(), [{ public: true, level: 'read' }], 'a new one');
  const says = () => [
    acl.hasPublicReadAccess(), acl.hasPublicWriteAccess(), acl.hasReadAccessForRole(role), acl.hasWriteAccessForRole(role),
    acl.hasReadAccessForUser(user), acl.hasWriteAccessForUser(user), acl.hasReadAccess(user, [role]), acl.hasWriteAccess(user, [role]),
  ].map(Number).join('');
  same(says(), '10101010');
  acl.setPublicNoAccess();
  same(says(), '00000000');
  acl.setReadOnlyForRole(role);
  same(says(), '00100010');
  acl.setReadWriteAccessForRole(role);
  same(says(), '00110011');
  acl.setNoAccessForRole(role);
  acl.setReadOnlyForUser(user);
  same(says(), '00001010');
  acl.setReadWriteAccessForUser(user);
  same(says(), '00001111');
  same(acl.toJSON(), [{ user_id: user._id, level: 'write' }]);
  acl.setNoAccessForUser(user);
  acl.setPublicReadOnly();
  acl.setPublicReadWriteAccess();
  same(says(), '11111111');
  const entries = [{ public: true, level: 'read' }, { role: 'Editor', level: 'write' }, { user_id: 'u1', level: 'read' }];
  same(ACL.fromJSON(entries).toJSON(), entries);
  same(new ACL([]).toJSON(), []);
  throws(() => acl.setReadOnlyForRole('Editor'), 'is not a role');
  throws(() => acl.setReadOnlyForUser('u1'), 'is not a user');
});

test('ACL: a record has one', async (w) => {
  const { ACL, Role } = w.any;
  const client = await w.user();
  const role = new Role('Editor');
  const me = client.auth.currentUser;
  const note = new w.Note({ n: 1 });
  const acl = new ACL([{ role: 'Editor', level: 'write' }]);
  note.setAccess(acl);
  ok(note.access === acl, 'another ACL');
  const saved = await client.publicDB.getRecordByID((await client.publicDB.save(note)).id);
  same(saved.access.toJSON(), [{ role: 'Editor', level: 'write' }]);
  const says = [
    saved.hasPublicReadAccess(), saved.hasPublicWriteAccess(), saved.hasReadAccessForRole(role), saved.hasWriteAccessForRole(role),
    saved.hasReadAccessForUser(me), saved.hasWriteAccessForUser(me),
  ];
  same(says, w.sdk.recordsTellRights ? [false, false, true, true, false, false] : Array(6).fill(undefined));
  saved.access = new ACL([]);
  saved.setNoAccessForRole(role);
  saved.setNoAccessForUser(me);
  same((await client.publicDB.save(saved)).access.toJSON(), []);
});

test('ACL: none stays none', async (w) => {
  const client = await w.user();
  const other = await w.user();
  const note = await client.publicDB.save(new w.Note({ n: 1 }));
  const found = await other.publicDB.getRecordByID(note.id);
  found.n = 2;
  await other.publicDB.save(found);
  // npm's client makes "everybody reads" of it as it reads the record, and sends that back.
  same(await rights(other, note), w.sdk.keepsNoACL ? 'rw' : 'r-');
});

test('roles: the object', async (w) => {
  const { Role } = w.any;
  const [a, b] = [new Role('A'), Role.define('B')];
  same([a.name, b.name, Role.isValidName('A'), Role.isValidName('')], ['A', 'B', true, false]);
  const names = (roles) => roles.map(({ name }) => name);
  same([names(Role.union([a], b)), names(Role.union([a], new Role('A')))], [['A', 'B'], ['A']]);
  same([names(Role.subtract([a, b], new Role('A'))), Role.contain([a], new Role('A')), Role.contain([a], b)], [['B'], true, false]);
  throws(() => new Role(''), 'Role name is not valid');
});

test('roles: assign, fetch, revoke', async (w) => {
  const { Role } = w.any;
  const admin = await w.admin();
  const client = await w.user();
  const other = await w.user();
  const [me, you] = [client.auth.currentUser, other.auth.currentUser];
  const role = new Role(w.unique("O'Brien's \"role\""));
  await refused(client.auth.assignUserRole([me], [role]), { status: 401, code: 102, name: 'PermissionDenied' });
  same(await admin.auth.assignUserRole([me, you._id], [role, w.unique('second')]), 'OK');
  const roles = await admin.auth.fetchUserRole([me, you._id, 'nobody']);
  same(Object.keys(roles).sort(), [me._id, you._id, 'nobody'].sort());
  ok(roles[me._id].every((r) => r instanceof Role), 'not Roles');
  same([roles[me._id].length, roles[you._id].length, roles.nobody], [2, 2, []]);
  same(await admin.auth.revokeUserRole([me], [role.name]), 'OK');
  same((await client.auth.fetchUserRole([me]))[me._id].length, 1, 'of oneself');
  await refused(client.auth.fetchUserRole([you]), { status: 403, code: 102 });
  await refused(client.auth.revokeUserRole([you], [role]), { status: 401, code: 102 });
  await refused((await w.client()).auth.fetchUserRole([me]), { status: 401, code: 101 });
});

test('roles: administrators and defaults', async (w) => {
  const { Role } = w.any;
  const admin = await w.admin();
  const boss = new Role(w.unique('Boss'));
  const guest = new Role(w.unique('Guest'));
  try {
    same(await admin.auth.setAdminRole([boss]), [boss.name]);
    same(await admin.auth.setDefaultRole([guest]), [guest.name]);
    const client = await w.user();
    const me = client.auth.currentUser;
    same((await client.auth.fetchUserRole([me]))[me._id].map(({ name }) => name), [guest.name]);
    await admin.auth.assignUserRole([me], [boss]);
    const other = (await w.user()).auth.currentUser;
    same(await client.auth.assignUserRole([other], [guest]), 'OK', 'as an administrator');
    same(await client.auth.adminDisableUser(other), other._id);
  } finally {
    await admin.auth.setDefaultRole([]);
    await admin.auth.setAdminRole([new Role('Admin')]);
  }
  const late = await w.user();
  same((await late.auth.fetchUserRole([late.auth.currentUser]))[late.auth.currentUser._id], []);
});

test('rules: who may make records of a type', async (w) => {
  const { Role } = w.any;
  const admin = await w.admin();
  const Note = w.type('note');
  await admin.publicDB.save(new Note({ n: 0 }));
  const role = new Role(w.unique('Writer'));
  same(await admin.publicDB.setRecordCreateAccess(Note, [role]), { type: Note.recordType, create_roles: [role.name] });
  const client = await w.user();
  await refused(client.publicDB.save(new Note({ n: 1 })), { code: 102, name: 'PermissionDenied' });
  await admin.auth.assignUserRole([client.auth.currentUser], [role]);
  same((await client.publicDB.save(new Note({ n: 2 }))).n, 2);
  same(await admin.publicDB.setRecordCreateAccess(Note, []), { type: Note.recordType });
  same((await (await w.user()).publicDB.save(new Note({ n: 3 }))).n, 3);
});

test('rules: the ACL of records without one', async (w) => {
  const { ACL } = w.any;
  const admin = await w.admin();
  const Note = w.type('note');
  await admin.publicDB.save(new Note({ n: 0 }));
  const acl = new ACL();
  acl.setPublicNoAccess();
  same(await admin.publicDB.setRecordDefaultAccess(Note, acl), { type: Note.recordType });
  const owner = await w.user();
  const other = await w.user();
  const note = await owner.publicDB.save(new Note({ n: 1 }));
  same(note.access.toJSON(), []);
  same(await can(other.publicDB.getRecordByID(note.id)), false);
  acl.setPublicReadOnly();
  same(await admin.publicDB.setRecordDefaultAccess(Note, acl), { type: Note.recordType, default_access: [{ public: true, level: 'read' }] });
  const open = await owner.publicDB.save(new Note({ n: 2 }));
  same(await rights(other, open), 'r-');
});

test('rules: setDefaultACL stays in the page', async (w) => {
  const { ACL } = w.any;
  const client = await w.user();
  const before = client.publicDB.defaultACL;
  const acl = new ACL([]);
  client.publicDB.setDefaultACL(acl);
  ok(client.publicDB.defaultACL === acl, 'not kept');
  same(new w.Note().toTruncatedJSON()._access, null);
  client.publicDB.setDefaultACL(before);
}, { needs: ['PublicDatabase.setDefaultACL'] });

test('rules: fields', async (w) => {
  const { Query } = w.any;
  const admin = await w.admin();
  const Note = w.type('note');
  const owner = await w.user();
  const other = await w.user();
  const note = await owner.publicDB.save(new Note({ title: 'x', secret: 's', fixed: 1 }));
  const rule = (field, role, flags) => ({
    record_type: Note.recordType, record_field: field, user_role: role,
    writable: false, readable: false, comparable: false, discoverable: false, ...flags,
  });
  const { result: { access: before } } = await admin.makeRequest('schema:field_access:get', {});
  const mine = [
    rule('secret', '_owner', { readable: true, writable: true, comparable: true, discoverable: true }),
    rule('secret', '_any_user', { discoverable: true }),
    rule('fixed', '_public', { readable: true }),
  ];
  try {
    const { result } = await admin.makeRequest('schema:field_access:update', { access: [...before, ...mine] });
    same(result.access.length, before.length + 3);
    await refused(other.makeRequest('schema:field_access:get', {}), { status: 401, code: 102 });

    same((await owner.publicDB.getRecordByID(note.id)).secret, 's');
    same('secret' in await other.publicDB.getRecordByID(note.id), false);
    same((await other.publicDB.query(new Query(Note).equalTo('secret', 's'))).length, 1, 'who knows the value finds it');
    const denied = { status: 403, code: 124, name: 'RecordQueryDenied' };
    await refused(other.publicDB.query(new Query(Note).like('secret', '%')), denied);
    await refused(other.publicDB.query(new Query(Note).addAscending('secret')), denied);
    await refused(owner.publicDB.query(new Query(Note).addAscending('fixed')), denied);

    const change = () => new Note({ _id: note.id, title: 'y', fixed: 2 });
    const saved = await other.publicDB.save(change());
    same([saved.title, saved.fixed], ['y', 1], 'what is forbidden is dropped');
    const error = await refused(other.publicDB.save(change(), { atomic: true }), { status: 409, code: 115 });
    same([error.info[note.id].code, error.info[note.id].info.arguments], [123, ['fixed']]);
  } finally {
    await admin.makeRequest('schema:field_access:update', { access: before });
  }
  await refused(admin.makeRequest('schema:field_access:update', { access: [{ record_type: 'x' }] }), { status: 400, code: 108, arguments: ['access'] });
});

test('schema: create, fetch, rename, delete', async (w) => {
  const admin = await w.admin();
  const [type, cat] = [w.unique('note'), w.unique('cat')];
  const call = async (action, params) => (await admin.makeRequest(`schema:${action}`, params)).result.record_types;
  const made = await call('create', { record_types: {
    [cat]: { fields: [] },
    [type]: { fields: [{ name: 'n', type: 'integer' }, { name: 'cat', type: `ref(${cat})` }] },
  } });
  same(made[type], { fields: [{ name: 'cat', type: `ref(${cat})` }, { name: 'n', type: 'integer' }] });
  same(made[cat], { fields: [] });
  same((await call('fetch', {}))[type], made[type]);
  same((await call('rename', { record_type: type, item_type: 'field', item_name: 'n', new_name: 'count' }))[type].fields[1], { name: 'count', type: 'integer' });
  same((await call('delete', { record_type: type, item_name: 'cat' }))[type].fields, [{ name: 'count', type: 'integer' }]);
  const Note = w.any.Record.extend(type);
  same((await admin.publicDB.save(new Note({ count: 3 }))).count, 3);
  await refused(admin.makeRequest('schema:rename', { record_type: type, item_name: 'none', new_name: 'x' }), { status: 404, code: 110 });
  await refused(admin.makeRequest('schema:create', { record_types: { [type]: { fields: [{ name: 'count', type: 'string' }] } } }), { status: 409, code: 114 });
});
