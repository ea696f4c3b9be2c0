// The clients under test, behind one face. What differs between them stands here and nowhere else.

// npm is skygear@1.7.2, in Node or as the bundle in a page.
export function npm(skygear) {
  const { constructor: Store, _driver: { constructor: Driver } } = skygear.store;
  return {
    skygear,
    decodesLists: false, // lists keep their typed values as the wire has them
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
  };
}
