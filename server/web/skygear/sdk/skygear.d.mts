// The types of /sdk/skygear.mjs; skygear.d.ts offers them to pages that load /sdk/skygear.js.

declare const skygear: SkygearClient;
export default skygear;

/** What a record's field and a function's argument can hold. Interfaces with such fields fit, too. */
export type Value =
  | string | number | boolean | null | Date
  | Reference | Geolocation | Asset | Sequence | UnknownValue | Record
  | readonly Value[] | {readonly [key: string]: Value};

/** The fields of a record type: `Record.extend<{title: string}>('note')`. */
export type Fields = object;

/** The server's refusal, as plain data. */
export interface ServerError {
  name: string;
  code: number;
  message: string;
  info?: {[key: string]: any};
}

/** What requests reject with. Without `status` nobody knows what the server has done. */
export interface Refusal {
  status: number | undefined;
  error: ServerError | Error;
}

/** What `save` and `delete` of one record reject with, and list for many. */
export interface RecordError extends ServerError {
  _type: 'error';
  _id?: string;
}

export class SkygearError extends Error {
  constructor(message: string, code?: number, info?: {[key: string]: any} | null);
  code: number;
  info: {[key: string]: any} | null;
  toJSON(): ServerError;
  static fromJSON(json: {message: string; code?: number; info?: {[key: string]: any}}): SkygearError;
}

export interface ErrorCodes {
  readonly NotAuthenticated: 101; readonly PermissionDenied: 102; readonly AccessKeyNotAccepted: 103;
  readonly AccessTokenNotAccepted: 104; readonly InvalidCredentials: 105; readonly InvalidSignature: 106;
  readonly BadRequest: 107; readonly InvalidArgument: 108; readonly Duplicated: 109; readonly ResourceNotFound: 110;
  readonly NotSupported: 111; readonly NotImplemented: 112; readonly ConstraintViolated: 113;
  readonly IncompatibleSchema: 114; readonly AtomicOperationFailure: 115; readonly PartialOperationFailure: 116;
  readonly UndefinedOperation: 117; readonly PluginUnavailable: 118; readonly PluginTimeout: 119;
  readonly RecordQueryInvalid: 120; readonly PluginInitializing: 121; readonly ResponseTimeout: 122;
  readonly DeniedArgument: 123; readonly RecordQueryDenied: 124; readonly NotConfigured: 125;
  readonly PasswordPolicyViolated: 126; readonly UserDisabled: 127; readonly VerificationRequired: 128;
  readonly AssetSizeTooLarge: 129; readonly UnexpectedError: 10000;
}

export class Reference {
  /** A record, or its id, 'type/key'. */
  constructor(target: Record | string);
  readonly id: string;
  toJSON(): {$type: 'ref'; $id: string};
}

export class Geolocation {
  /** Degrees; throws when they are out of range. */
  constructor(latitude: number, longitude: number);
  latitude: number;
  longitude: number;
  toJSON(): {$type: 'geo'; $lat: number; $lng: number};
  static fromJSON(json: {$lat: number; $lng: number}): Geolocation;
}

/** Asks the server to number the records of a type in this field. */
export class Sequence {
  toJSON(): {$type: 'seq'};
}

export class UnknownValue {
  constructor(underlyingType: string);
  underlyingType: string;
  toJSON(): {$type: 'unknown'; $underlying_type: string};
  static fromJSON(json: {$underlying_type: string}): UnknownValue;
}

export class Asset {
  /** A file to upload needs a content type, its own or a given one. */
  constructor(attributes: {
    name: string; file?: Blob | ArrayBuffer | ArrayBufferView; base64?: string; contentType?: string; url?: string;
  });
  name: string;
  contentType?: string;
  file?: Blob | ArrayBuffer | ArrayBufferView;
  /** Where to get a stored file; it expires. */
  url?: string;
  toJSON(): {$type: 'asset'; $name: string; $url?: string};
  static fromJSON(json: {$name: string; $content_type?: string; $url?: string}): Asset;
}

export class Role {
  constructor(name: string);
  readonly name: string;
  static isValidName(name: string): boolean;
  static define(name: string): Role;
  static union(roles: Role[], role: Role): Role[];
  static subtract(roles: Role[], role: Role): Role[];
  static contain(roles: Role[], role: Role): boolean;
}

export type Level = 'read' | 'write';

export interface ACLEntry {
  level?: Level;
  public?: boolean;
  role?: string;
  user_id?: string;
  relation?: string;
}

interface Access {
  setPublicNoAccess(): void;
  setPublicReadOnly(): void;
  setPublicReadWriteAccess(): void;
  setNoAccessForRole(role: Role): void;
  setReadOnlyForRole(role: Role): void;
  setReadWriteAccessForRole(role: Role): void;
  setNoAccessForUser(user: UserRecord): void;
  setReadOnlyForUser(user: UserRecord): void;
  setReadWriteAccessForUser(user: UserRecord): void;
  hasPublicReadAccess(): boolean;
  hasPublicWriteAccess(): boolean;
  hasReadAccessForRole(role: Role): boolean;
  hasWriteAccessForRole(role: Role): boolean;
  hasReadAccessForUser(user: UserRecord): boolean;
  hasWriteAccessForUser(user: UserRecord): boolean;
}

/** Who may read and write a record beside its owner. A new one lets everybody read. */
export class ACL implements Access {
  constructor(entries?: ACLEntry[] | null);
  public: Level | null;
  roles: {[name: string]: Level | null};
  users: {[id: string]: Level | null};
  toJSON(): ACLEntry[];
  static fromJSON(entries: ACLEntry[] | null): ACL;
  hasReadAccess(user: UserRecord, roles: Role[]): boolean;
  hasWriteAccess(user: UserRecord, roles: Role[]): boolean;
}
export interface ACL extends Access {}

/** A class of records, made by Record.extend. */
export interface RecordClass<F extends Fields = {[key: string]: any}> {
  new (attributes?: Partial<F> & {id?: string; _id?: string}): Record & F;
  readonly recordType: string;
}

/** One row of a record type. Its fields are its properties. */
export class Record implements Access {
  constructor(type: string, attributes?: {[key: string]: any});
  readonly id: string;
  readonly _id: string;
  readonly recordType: string;
  readonly createdAt?: Date;
  readonly updatedAt?: Date;
  readonly ownerID?: string;
  readonly createdBy?: string;
  readonly updatedBy?: string;
  /** The ACL. A record that has none gets one here, and then only its owner may write. */
  access: ACL;
  /** What a query included. */
  readonly $transient: {[name: string]: any};
  readonly attributeKeys: string[];
  readonly metaKeys: string[];
  setAccess(acl: ACL): void;
  update(fields: {[key: string]: any}): void;
  updateTransient(included: {[name: string]: any}, merge?: boolean): void;
  toJSON(): {[key: string]: any};
  toTruncatedJSON(): {[key: string]: any};
  static extend<F extends Fields = {[key: string]: any}, M extends object = {}>(
    type: string, methods?: M & ThisType<Record & F & M>): RecordClass<F & M>;
  static fromJSON(json: {_id: string; [key: string]: any}): Record & {[key: string]: any};
  static validType(type: string): boolean;
  static parseID(id: string): [type: string, key: string];
}
export interface Record extends Access {}

export type UserRecord = Record & {username?: string; email?: string; last_login_at?: Date; [key: string]: any};

type FieldOf<F> = Extract<keyof F, string> | (string & {});

/** A question for records. Its conditions must all hold; the methods return the query itself. */
export class Query<F extends Fields = {[key: string]: any}> {
  constructor(recordCls: RecordClass<F>);
  readonly recordType: string;
  readonly recordCls: RecordClass<F>;
  /** Ask for the number of all matches, too. */
  overallCount: boolean;
  /** 50 at first. */
  limit: number;
  offset: number;
  /** From 1; used when there is no offset. */
  page: number;
  readonly predicate: any[];
  like(key: FieldOf<F>, pattern: string): this;
  notLike(key: FieldOf<F>, pattern: string): this;
  caseInsensitiveLike(key: FieldOf<F>, pattern: string): this;
  caseInsensitiveNotLike(key: FieldOf<F>, pattern: string): this;
  equalTo(key: FieldOf<F>, value: Value): this;
  notEqualTo(key: FieldOf<F>, value: Value): this;
  greaterThan(key: FieldOf<F>, value: Value): this;
  greaterThanOrEqualTo(key: FieldOf<F>, value: Value): this;
  lessThan(key: FieldOf<F>, value: Value): this;
  lessThanOrEqualTo(key: FieldOf<F>, value: Value): this;
  distanceLessThan(key: FieldOf<F>, place: Geolocation, metres: number): this;
  distanceGreaterThan(key: FieldOf<F>, place: Geolocation, metres: number): this;
  contains(key: FieldOf<F>, list: readonly Value[]): this;
  notContains(key: FieldOf<F>, list: readonly Value[]): this;
  containsValue(key: FieldOf<F>, needle: string): this;
  notContainsValue(key: FieldOf<F>, needle: string): this;
  havingRelation(key: FieldOf<F>, relation: RelationClass): this;
  notHavingRelation(key: FieldOf<F>, relation: RelationClass): this;
  addAscending(key: FieldOf<F>): this;
  addDescending(key: FieldOf<F>): this;
  addAscendingByDistance(key: FieldOf<F>, place: Geolocation): this;
  addDescendingByDistance(key: FieldOf<F>, place: Geolocation): this;
  transientInclude(key: FieldOf<F>, name?: string): this;
  transientIncludeDistance(key: FieldOf<F>, name: string | undefined, place: Geolocation): this;
  toJSON(): {[key: string]: any};
  static fromJSON(json: {[key: string]: any}): Query;
  static clone<F extends Fields>(query: Query<F>): Query<F>;
  static and<F extends Fields>(...queries: Query<F>[]): Query<F>;
  static or<F extends Fields>(...queries: Query<F>[]): Query<F>;
  static not<F extends Fields>(query: Query<F>): Query<F>;
}

export interface QueryResult<R> extends Array<R> {
  overallCount?: number;
}

export interface Database {
  readonly dbID: '_public' | '_private';
  /** Takes 'type/key'; rejects when there is no such record. */
  getRecordByID(id: string): Promise<Record & {[key: string]: any}>;
  query<F extends Fields>(query: Query<F>): Promise<QueryResult<Record & F>>;
  /** Of a list it stores what it can, with `atomic` all or nothing. */
  save<R extends Record>(record: R, options?: {atomic?: boolean}): Promise<R>;
  save<R extends Record>(records: readonly R[], options?: {atomic?: boolean}): Promise<SaveResult<R>>;
  delete(record: Record): Promise<void>;
  delete(records: readonly Record[]): Promise<(RecordError | undefined)[]>;
  del(record: Record): Promise<void>;
  del(records: readonly Record[]): Promise<(RecordError | undefined)[]>;
  uploadAsset(asset: Asset): Promise<Asset>;
}

/** Both lists are as long as the list that was saved. A list of one resolves with its record instead. */
export interface SaveResult<R> {
  savedRecords: (R | undefined)[];
  errors: (RecordError | undefined)[];
}

export interface PublicDatabase extends Database {
  /** No role at all means everybody who is logged in. */
  setRecordCreateAccess(recordClass: {recordType: string}, roles: Role[]): Promise<{type: string; create_roles?: string[]}>;
  setRecordDefaultAccess(recordClass: {recordType: string}, acl: ACL): Promise<{type: string; default_access?: ACLEntry[]}>;
}

/** Ends a listener. */
export interface EventHandle {
  cancel(): void;
}

export interface Auth {
  readonly currentUser: UserRecord | null;
  readonly accessToken: string | null;
  onUserChanged(listener: (user: UserRecord | null) => void): EventHandle;
  signup(authData: {[key: string]: string} | null, password: string | null, profile?: {[key: string]: Value} | null): Promise<UserRecord>;
  signupWithUsername(username: string, password: string, profile?: {[key: string]: Value}): Promise<UserRecord>;
  signupWithEmail(email: string, password: string, profile?: {[key: string]: Value}): Promise<UserRecord>;
  signupAnonymously(): Promise<UserRecord>;
  login(authData: {[key: string]: string}, password: string): Promise<UserRecord>;
  loginWithUsername(username: string, password: string): Promise<UserRecord>;
  loginWithEmail(email: string, password: string): Promise<UserRecord>;
  loginWithProvider(provider: string, data: {[key: string]: Value}): Promise<UserRecord>;
  loginWithCustomToken(token: string): Promise<UserRecord>;
  whoami(): Promise<UserRecord>;
  changePassword(oldPassword: string, newPassword: string): Promise<UserRecord>;
  /** Forgets the user in any case. */
  logout(): Promise<null>;
  adminResetPassword(user: UserRecord | string, password: string): Promise<string>;
  adminEnableUser(user: UserRecord | string): Promise<string>;
  adminDisableUser(user: UserRecord | string, message?: string, expiry?: Date): Promise<string>;
  setAdminRole(roles: (Role | string)[]): Promise<string[]>;
  setDefaultRole(roles: (Role | string)[]): Promise<string[]>;
  fetchUserRole(users: (UserRecord | string)[]): Promise<{[userID: string]: Role[]}>;
  assignUserRole(users: (UserRecord | string)[], roles: (Role | string)[]): Promise<string>;
  revokeUserRole(users: (UserRecord | string)[], roles: (Role | string)[]): Promise<string>;
  forgotPassword(email: string): Promise<any>;
  resetPassword(userID: string, code: string, expireAt: number, password: string): Promise<any>;
  requestVerification(key: string): Promise<any>;
  verifyUserWithCode(code: string): Promise<UserRecord>;
  loginOAuthProviderWithAccessToken(provider: string, token: string): Promise<UserRecord>;
  linkOAuthProviderWithAccessToken(provider: string, token: string): Promise<any>;
  unlinkOAuthProvider(provider: string): Promise<any>;
  getOAuthProviderProfiles(): Promise<any>;
}

export interface Pubsub {
  readonly connected: boolean;
  on(channel: string, callback: (data: any) => void): (data: any) => void;
  off(channel: string, callback?: ((data: any) => void) | null): void;
  subscribe(channel: string, callback: (data: any) => void): (data: any) => void;
  unsubscribe(channel: string, callback?: ((data: any) => void) | null): void;
  once(channel: string): Promise<any>;
  publish(channel: string, data: {[key: string]: any}): void;
  hasHandlers(channel: string): boolean;
  onOpen(listener: () => void): EventHandle;
  onClose(listener: () => void): EventHandle;
  reconfigure(): void;
  /** Ends the connection until the next use. */
  close(): void;
}

export interface Relation {
  identifier: string;
  direction: 'outward' | 'inward' | 'mutual';
  targets: UserRecord[];
  readonly targetsID: string[];
}

export interface RelationClass {
  new (targets?: UserRecord[]): Relation;
}

export interface RelationQuery {
  identifier: string;
  direction: string;
  limit: number;
  page: number;
  toJSON(): {[key: string]: any};
}

export interface Relations {
  readonly Query: new (relation: RelationClass) => RelationQuery;
  readonly Friend: RelationClass;
  readonly Follower: RelationClass;
  readonly Following: RelationClass;
  query(query: RelationQuery): Promise<QueryResult<UserRecord>>;
  queryFriend(): Promise<QueryResult<UserRecord>>;
  queryFollower(): Promise<QueryResult<UserRecord>>;
  queryFollowing(): Promise<QueryResult<UserRecord>>;
  add(relation: Relation): Promise<{success: UserRecord[]; fails: any[]; partialError: boolean}>;
  remove(relation: Relation): Promise<{success: string[]; fails: any[]; partialError: boolean}>;
}

/** One connection: an end point and an API key. */
export class SkygearClient {
  readonly VERSION: string;
  readonly auth: Auth;
  readonly publicDB: PublicDatabase;
  readonly privateDB: Database;
  readonly relation: Relations;
  readonly pubsub: Pubsub;
  apiKey: string | null;
  get endPoint(): string | null;
  set endPoint(value: string);
  /** Milliseconds; the shorter one counts. null waits for ever. */
  timeoutOptions: {response?: number; deadline?: number} | null;
  /** Where the user is kept: localStorage, or something like it. */
  storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
  config(options: {endPoint?: string; apiKey?: string}): Promise<this>;
  configApiKey(apiKey: string): void;
  configEndPoint(endPoint: string): void;
  lambda<Result = any>(name: string, args?: {[key: string]: any}): Promise<Result>;
  /** Posts any action and resolves with the whole answer. */
  makeRequest(action: string, params: {[key: string]: any}): Promise<{result?: any; info?: any}>;
  readonly ACL: typeof ACL;
  readonly Asset: typeof Asset;
  readonly Error: typeof SkygearError;
  readonly ErrorCodes: ErrorCodes;
  readonly Follower: RelationClass;
  readonly Following: RelationClass;
  readonly Friend: RelationClass;
  readonly Geolocation: typeof Geolocation;
  readonly Query: typeof Query;
  readonly Record: typeof Record;
  readonly Reference: typeof Reference;
  readonly Role: typeof Role;
  readonly Sequence: typeof Sequence;
  readonly UnknownValue: typeof UnknownValue;
  readonly UserRecord: RecordClass;
}
