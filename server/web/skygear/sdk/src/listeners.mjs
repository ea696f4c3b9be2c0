// tellAll calls functions as soon as the running one ends. One that throws keeps nothing from the others.
export function tellAll(functions, value) {
  for (const call of functions) Promise.resolve(value).then(call);
}

// Listeners are functions that want to hear of something.
export class Listeners {
  constructor() { this._all = new Set(); }

  // add returns a handle; its cancel() ends it.
  add(listener) {
    const call = (value) => listener(value);
    this._all.add(call);
    return {cancel: () => { this._all.delete(call); }};
  }

  tell(value) { tellAll(this._all, value); }
}
