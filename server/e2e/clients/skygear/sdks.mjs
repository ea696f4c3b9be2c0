// The clients under test, behind one face. What differs between them stands here and nowhere else.

// npm is skygear@1.7.2, in Node or as the bundle in a page.
export function npm(skygear) {
  const { constructor: Store, _driver: { constructor: Driver } } = skygear.store;
  return {
    skygear,
    decodesLists: false, // lists keep their typed values as the wire has them
    recordsTellRights: false, // record.has...Access() forgets to return what it found
    pubsubTellsHandlers: false, // so does pubsub.hasHandlers()
    keepsNoACL: false, // a record without an ACL gets one as it is read
    buffers: typeof window === 'undefined', // files are Buffers, not Blobs
    lacks: () => false,
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
  'Database.cacheResponse': 'there is no cache',
  'Pubsub.autoPubsub': 'the socket is opened when it is needed',
  'Pubsub.deviceID': 'see push',
  'Query.hash': 'it is the key of the cache',
  'PublicDatabase.setDefaultACL': 'it never reached the server; setRecordDefaultAccess does',
  'PublicDatabase.defaultACL': 'see setDefaultACL',
  'Error.toLocaleString': 'a page has its own words, in its own language',
  'Auth.loginOAuthProviderWithPopup': 'its pages belong to a plugin, and its cookies to another site, which browsers no longer send',
  'Auth.loginOAuthProviderWithRedirect': 'see loginOAuthProviderWithPopup',
  'Auth.linkOAuthProviderWithPopup': 'see loginOAuthProviderWithPopup',
  'Auth.linkOAuthProviderWithRedirect': 'see loginOAuthProviderWithPopup',
  'Auth.getLoginRedirectResult': 'see loginOAuthProviderWithPopup',
  'Auth.getLinkRedirectResult': 'see loginOAuthProviderWithPopup',
  'Auth.oauthHandler': 'see loginOAuthProviderWithPopup',
  'Auth.iframeHandler': 'see loginOAuthProviderWithPopup',
};

// ours is /sdk/skygear.js.
export function ours(skygear) {
  return {
    skygear,
    decodesLists: true,
    recordsTellRights: true,
    pubsubTellsHandlers: true,
    keepsNoACL: true,
    buffers: false,
    lacks: (api) => api in notOffered,
    create(storage) {
      const client = new skygear.constructor();
      client.storage = storage;
      return client;
    },
    close: (client) => client.pubsub.close(),
    cut: (client) => client.pubsub._socket.close(),
  };
}
