// What the cases act in: fresh clients, users, record types and files of their own.

let made = 0;

export class World {
  // sdk is an entry of sdks.mjs; settings are those of the running server.
  constructor(sdk, settings) {
    this.sdk = sdk;
    this.settings = settings;
    this.clients = [];
  }

  // close ends the sockets of the clients made so far.
  close() {
    for (const client of this.clients.splice(0)) this.sdk.close(client);
  }

  // unique makes a name that no other case uses.
  unique(word) {
    made += 1;
    return `${word}_${made}_${Math.random().toString(36).slice(2, 8)}`;
  }

  // client is configured, logged out, and keeps what it stores in a storage of its own or in the given one.
  async client({ apiKey = this.settings.apiKey, storage = memory() } = {}) {
    const client = this.sdk.create(storage);
    this.clients.push(client);
    await client.config({ apiKey, endPoint: this.settings.endPoint });
    return client;
  }

  // admin holds the master key.
  admin() {
    return this.client({ apiKey: this.settings.masterKey });
  }

  // user is a client that has signed up: its record is client.auth.currentUser. It has no password, which saves the
  // server much work.
  async user(profile = {}) {
    const client = await this.client();
    await client.auth.signup(null, null, profile);
    return client;
  }

  // account is a user with a name and the password "secret".
  async account(profile) {
    const client = await this.client();
    await client.auth.signupWithUsername(this.unique('user'), 'secret', profile);
    return client;
  }

  // slowPayment is a purchase that takes the sandbox some seconds.
  slowPayment() {
    return {
      product_name: 'Kenya AA', product_price: 1000, user_email: 'ada@example.com',
      stripe_token: 'tok_sandbox_slow_4000', order_key: this.unique('order'),
    };
  }

  // type is a record class that no other case uses.
  type(word, client = this.any) {
    return client.Record.extend(this.unique(word));
  }

  // Note is a record class that cases share which do not ask for all of its records: a new one costs the server a table.
  get Note() {
    this.note ??= this.type('note');
    return this.note;
  }

  // any offers the classes; it is not configured.
  get any() {
    this.plain ??= this.sdk.create(memory());
    return this.plain;
  }

  // asset is one with a file that holds the text.
  asset(name, contentType, content) {
    const file = this.sdk.buffers ? Buffer.from(content) : new Blob([content], { type: contentType });
    return new this.any.Asset({ name, file, contentType });
  }
}

export const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// memory has what both clients ask of localStorage.
export function memory() {
  const items = new Map();
  return {
    get length() { return items.size; },
    key: (n) => [...items.keys()][n] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => { items.set(key, String(value)); },
    removeItem: (key) => { items.delete(key); },
    clear: () => items.clear(),
  };
}
