// The clients under test, behind one face. What differs between them stands here and nowhere else.
import { surface, watch } from './surface.mjs';

// windows are calls of npm's client that need a page.
const windows = [
  'Auth.loginOAuthProviderWithPopup', 'Auth.loginOAuthProviderWithRedirect', 'Auth.linkOAuthProviderWithPopup',
  'Auth.linkOAuthProviderWithRedirect', 'Auth.getLoginRedirectResult', 'Auth.getLinkRedirectResult',
];

// npm is skygear@1.7.2, in Node or as the bundle in a page.
export function npm(skygear) {
  const { constructor: Store, _driver: { constructor: Driver } } = skygear.store;
  const inPage = typeof window !== 'undefined';
  const unmade = watch(skygear);
  return {
    skygear,
    decodesLists: false, // lists keep their typed values as the wire has them
    recordsTellRights: false, // record.has...Access() forgets to return what it found
    pubsubTellsHandlers: false, // so does pubsub.hasHandlers()
    keepsNoACL: false, // a record without an ACL gets one as it is read
    buffers: !inPage, // files are Buffers, not Blobs
    lacks: (api) => api === 'ours' || (!inPage && windows.includes(api)),
    // gaps are the public calls that no case has made.
    gaps: () => [...unmade].filter((name) => inPage || !windows.includes(name)),
    create(storage) {
      const client = new skygear.constructor();
      client._store = new Store(new Driver(storage));
      return client;
    },
    close(client) {
      client.pubsub.autoPubsub = false;
      for (const pubsub of [client.pubsub._pubsub, client.pubsub._internalPubsub]) {
        pubsub.connect = () => {}; // no new attempt
        pubsub.close();
      }
    },
    cut: (client) => client.pubsub._pubsub._ws.close(),
  };
}

// notOffered is what our client leaves out, and why. A case that needs one of these runs with npm's client only.
export const notOffered = {
  push: 'a page is no phone: devices register from native apps, and functions send',
  clearCache: 'there is no cache',
  'Database.cacheStore': 'answers are not kept in localStorage, where the next user of the machine would find them',
  'Database.cacheResponse': 'see cacheStore',
  'Query.hash': 'it is the key of the cache',
  'PublicDatabase.setDefaultACL': 'it never reached the server; setRecordDefaultAccess does',
  'PublicDatabase.defaultACL': 'see setDefaultACL',
  'Error.toLocaleString': 'a page has words of its own, in its own language',
  'Pubsub.deviceID': 'see push',
  'Auth.loginOAuthProviderWithPopup': 'its pages belong to a plugin, and its cookies to another site, which browsers no longer send',
  'Auth.loginOAuthProviderWithRedirect': 'see loginOAuthProviderWithPopup',
  'Auth.linkOAuthProviderWithPopup': 'see loginOAuthProviderWithPopup',
  'Auth.linkOAuthProviderWithRedirect': 'see loginOAuthProviderWithPopup',
  'Auth.getLoginRedirectResult': 'see loginOAuthProviderWithPopup',
  'Auth.getLinkRedirectResult': 'see loginOAuthProviderWithPopup',
  'Auth.oauthHandler': 'see loginOAuthProviderWithPopup',
  'Auth.iframeHandler': 'see loginOAuthProviderWithPopup',
  AuthContainer: 'a class to build other clients with',
  DatabaseContainer: 'see AuthContainer',
  PubsubContainer: 'see AuthContainer',
  PushContainer: 'see AuthContainer',
  RelationContainer: 'see AuthContainer',
  store: 'private; ours is the property storage',
};

const isLeftOut = (name) => name in notOffered || name.split('.')[0] in notOffered;

// ours is /sdk/skygear.js. It is compared with npm's client.
export function ours(skygear, reference) {
  return {
    skygear,
    decodesLists: true,
    recordsTellRights: true,
    pubsubTellsHandlers: true,
    keepsNoACL: true,
    buffers: false,
    lacks: isLeftOut,
    // gaps are the calls of npm's client that ours neither has nor leaves out, and those that it has but claims to leave out.
    gaps() {
      const has = surface(skygear);
      return [...surface(reference)].filter((name) => {
        const there = has.has(name) || Object.hasOwn(skygear, name);
        return there === isLeftOut(name);
      });
    },
    create(storage) {
      const client = new skygear.constructor();
      client.storage = storage;
      return client;
    },
    close: (client) => client.pubsub.close(),
    cut: (client) => client.pubsub._socket.close(),
  };
}
