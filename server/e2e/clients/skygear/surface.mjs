// The public calls of a client, by name: "lambda", "Auth.login", "Query.like".

// parts are the objects that have them. A part that a client lacks has none.
function parts(client) {
  const of = Object.getPrototypeOf;
  const classes = ['Query', 'Record', 'ACL', 'Role', 'Reference', 'Asset', 'Geolocation', 'Sequence', 'Error'];
  return [
    ['', of(client)], ['', of(of(client))],
    ['Auth', of(client.auth)],
    ['PublicDatabase', of(client.publicDB)], ['Database', of(of(client.publicDB))],
    ['Relations', of(client.relation)], ['Relation', of(client.Friend.prototype)], ['RelationQuery', client.relation.Query.prototype],
    ['Pubsub', of(client.pubsub)], ['push', client.push && of(client.push)],
    ...classes.flatMap((name) => [[name, client[name]], [name, client[name].prototype]]),
  ].filter(([, part]) => part && part !== Object.prototype);
}

const notCalls = ['constructor', 'length', 'name', 'prototype', 'captureStackTrace', 'prepareStackTrace', 'stackTraceLimit'];

function* members(client) {
  for (const [prefix, part] of parts(client)) {
    for (const key of Object.getOwnPropertyNames(part)) {
      if (!key.startsWith('_') && !notCalls.includes(key)) yield { part, key, name: prefix ? `${prefix}.${key}` : key };
    }
  }
}

// surface is the set of names.
export function surface(client) {
  return new Set(Array.from(members(client), ({ name }) => name));
}

// watch notes from now on which calls are made, except by other calls, and returns the set of those that were not yet.
export function watch(client) {
  const unmade = surface(client);
  let depth = 0;
  const noting = (name, call) => call && function noted(...args) {
    if (depth === 0) unmade.delete(name);
    depth += 1;
    try {
      return call.apply(this, args);
    } finally {
      depth -= 1;
    }
  };
  for (const { part, key, name } of members(client)) {
    const property = Object.getOwnPropertyDescriptor(part, key);
    if (property.get) {
      Object.defineProperty(part, key, { ...property, get: noting(name, property.get), set: noting(name, property.set) });
    } else if (typeof property.value === 'function') {
      Object.defineProperty(part, key, { ...property, value: noting(name, property.value) });
    }
  }
  return unmade;
}
