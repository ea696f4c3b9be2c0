import {UserRecord} from './record.mjs';
import {queryResult} from './query.mjs';

// Relation ties the user to others: new skygear.Friend([user, ...]).
export class Relation {
  constructor(identifier, direction, targets = []) {
    this.identifier = identifier;
    this.direction = direction;
    this.targets = targets;
  }

  get targetsID() { return this.targets.map(({_id}) => _id); }

  static extend(identifier, direction) {
    class Extended extends Relation {
      constructor(targets) { super(identifier, direction, targets); }
    }
    Object.assign(Extended.prototype, {identifier, direction});
    return Extended;
  }
}

export const Friend = Relation.extend('friend', 'mutual');
export const Follower = Relation.extend('follow', 'inward');
export const Following = Relation.extend('follow', 'outward');

// RelationQuery asks for the users of one relation.
export class RelationQuery {
  constructor({prototype: {identifier, direction}}) {
    this.identifier = identifier;
    this.direction = direction;
    this.limit = 50;
    this.page = 0; // from 1
  }

  toJSON() {
    const {identifier: name, direction, limit, page} = this;
    return {name, direction, limit, offset: page > 1 ? limit * (page - 1) : 0};
  }
}

// Relations is skygear.relation: the friends and followers of the user.
export class Relations {
  constructor(client) { this._client = client; }

  get Query() { return RelationQuery; }
  get Friend() { return Friend; }
  get Follower() { return Follower; }
  get Following() { return Following; }

  // query resolves with user records; their overallCount is the number of all.
  async query(query) {
    const body = await this._client.makeRequest('relation:query', query.toJSON());
    return queryResult(body.result.map(({data}) => new UserRecord(data)), body.info);
  }

  queryFriend() { return this.query(new RelationQuery(Friend)); }
  queryFollower() { return this.query(new RelationQuery(Follower)); }
  queryFollowing() { return this.query(new RelationQuery(Following)); }

  // add resolves with {success: [user record], fails: [error], partialError}.
  add(relation) { return this._change('relation:add', relation, ({data}) => new UserRecord(data)); }

  // remove resolves with {success: [user id], fails: [error], partialError}.
  remove(relation) { return this._change('relation:remove', relation, ({id}) => id); }

  async _change(action, {identifier: name, direction, targetsID: targets}, read) {
    const {result} = await this._client.makeRequest(action, {name, direction, targets});
    const fails = result.filter(({type}) => type === 'error');
    return {success: result.filter(({type}) => type !== 'error').map(read), fails, partialError: fails.length > 0};
  }
}
