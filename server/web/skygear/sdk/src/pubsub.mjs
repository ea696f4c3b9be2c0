import {Listeners, tellAll} from './listeners.mjs';

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60000;
const LONGEST_QUEUE = 1000;

// Pubsub is skygear.pubsub: messages to everybody who listens to a channel, the sender too. The socket is opened at first
// use. When it breaks, it comes back by itself; what was published to others meanwhile is lost, what the page publishes
// waits (the last thousand messages).
export class Pubsub {
  constructor(client) {
    this._client = client;
    this._handlers = new Map(); // of a channel: its functions
    this._queue = [];
    this._opened = new Listeners();
    this._closed = new Listeners();
    this._failures = 0;
  }

  get connected() { return this._socket?.readyState === 1; }

  // on calls back with the data of every message, and returns the callback, for off.
  on(channel, callback) {
    need(channel, 'subscribe');
    const handlers = this._handlers.get(channel) || [];
    this._handlers.set(channel, [...handlers, callback]);
    if (handlers.length === 0) this._tell({action: 'sub', channel});
    this._connect();
    return callback;
  }

  // off ends one callback, or all of the channel.
  off(channel, callback = null) {
    need(channel, 'unsubscribe');
    const rest = callback ? (this._handlers.get(channel) || []).filter((other) => other !== callback) : [];
    if (rest.length > 0) this._handlers.set(channel, rest);
    else if (this._handlers.delete(channel)) this._tell({action: 'unsub', channel});
  }

  subscribe(channel, callback) { return this.on(channel, callback); }
  unsubscribe(channel, callback) { this.off(channel, callback); }

  // once resolves with the data of the next message.
  once(channel) {
    return new Promise((resolve) => {
      const callback = this.on(channel, (data) => {
        this.off(channel, callback);
        resolve(data);
      });
    });
  }

  // publish sends an object to the channel, as soon as there is a connection.
  publish(channel, data) {
    need(channel, 'publish');
    if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new Error('Data must be object');
    const message = {action: 'pub', channel, data};
    if (this._tell(message)) return;
    this._queue.push(message);
    if (this._queue.length > LONGEST_QUEUE) this._queue.shift();
    this._connect();
  }

  hasHandlers(channel) { return this._handlers.has(channel); }

  onOpen(listener) { return this._opened.add(listener); }
  onClose(listener) { return this._closed.add(listener); }

  // reconfigure connects anew, to where the client now points, if there is anything to listen to or to send.
  reconfigure() {
    this.close();
    this._failures = 0;
    this._connect();
  }

  // close ends the connection until the next use; callbacks stay.
  close() {
    clearTimeout(this._timer);
    this._timer = undefined;
    const socket = this._socket;
    if (!socket) return;
    this._socket = undefined;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this._closed.tell(false);
  }

  _connect() {
    const {apiKey, endPoint} = this._client;
    if (this._socket || this._timer || !apiKey || !endPoint || this._handlers.size + this._queue.length === 0) return;
    const url = new URL('pubsub?api_key=' + encodeURIComponent(apiKey), new URL(endPoint, globalThis.location?.href));
    const socket = this._socket = new WebSocket(url.href.replace(/^http/, 'ws'));
    socket.onopen = () => this._open();
    socket.onmessage = ({data}) => this._receive(data);
    socket.onclose = () => this._lost();
    socket.onerror = () => {}; // a close follows
  }

  _open() {
    this._failures = 0;
    this._opened.tell(true);
    for (const channel of this._handlers.keys()) this._tell({action: 'sub', channel});
    for (const message of this._queue.splice(0)) this._tell(message);
  }

  _receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      console.warn('skygear: the server refused a message:', text);
      return;
    }
    tellAll(this._handlers.get(message.channel) || [], message.data);
  }

  _lost() {
    this._socket = undefined;
    this._closed.tell(false);
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this._failures) * (0.5 + Math.random() / 2);
    this._failures += 1;
    this._timer = setTimeout(() => {
      this._timer = undefined;
      this._connect();
    }, wait);
  }

  // _tell sends a frame if there is a connection. Otherwise _open will tell what is to be told.
  _tell(message) {
    if (!this.connected) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }
}

function need(channel, what) {
  if (!channel) throw new Error(`Missing channel to ${what}`);
}
