// Listeners are functions that want to hear of something.
export class Listeners {
  constructor() { this._all = new Set(); }

  // add returns a handle; its cancel() ends it.
  add(listener) {
    const call = (value) => listener(value);
    this._all.add(call);
    return {cancel: () => { this._all.delete(call); }};
  }

  tell(value) {
    for (const call of [...this._all]) call(value);
  }
}
