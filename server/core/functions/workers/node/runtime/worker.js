// Runs calls: all of them at once, over one socket.
'use strict';
const {AsyncLocalStorage} = require('async_hooks');
const sdk = require('crema/sdk.js');
const {dispatch} = require('crema/skygear/transport.js');
const {load} = require('crema/runtime/loader.js');

// The types of frames; workers/frames.go has the same list.
const LOAD = 3, REGISTER = 4, CALL = 5, RESULT = 6, ERROR = 7, ACTION = 8, ANSWER = 9, PING = 10, PONG = 11, RETIRE = 16;
const HEADER = 14;
const MAX = 16 << 20;
const ACTION_FACTOR = 2 ** 24;

const calls = new AsyncLocalStorage(); // {id, actions}
const answers = new Map(); // of actions: who waits
let socket;
let waiting = []; // frames that flush sends
let parts = [], missing = 0; // of a frame that has arrived in part, and the bytes that it needs at least to go on

// start takes over the connection, and returns who takes what arrives. That is overwritten afterwards.
function start(connection) {
  socket = connection;
  stampLines();
  socket.on('error', () => process.exit(0));
  socket.on('close', () => process.exit(0)); // the server has gone, or wants us gone
  // Work that nobody awaited must not end the calls of others.
  process.on('unhandledRejection', (reason) => console.error('Unhandled rejection:', reason));
  return receive;
}

function receive(chunk) {
  let data = chunk, at = 0;
  if (parts.length > 0) {
    parts.push(Buffer.from(chunk));
    if ((missing -= chunk.length) > 0) return;
    data = Buffer.concat(parts);
    parts = [];
  }
  for (;;) {
    const end = data.length - at < HEADER ? at + HEADER : at + HEADER + data.readUInt32BE(at);
    if ((missing = end - data.length) > 0) break;
    obey(data[at + 4], data.readUInt32BE(at + 6) * 2 ** 32 + data.readUInt32BE(at + 10), data.toString('utf8', at + HEADER, end));
    at = end;
  }
  if (at < data.length) parts = [Buffer.from(data.subarray(at))];
}

function send(type, id, text) {
  if (waiting.length === 0) process.nextTick(flush);
  waiting.push({type, id, text, length: Buffer.byteLength(text)});
  if (type === ACTION) flush(); // the function may go on without a pause
}

// flush sends what has come together in one piece: calls that ran at once are often done at once.
function flush() {
  if (waiting.length === 0) return;
  const data = Buffer.allocUnsafe(waiting.reduce((sum, {length}) => sum + HEADER + length, 0));
  let at = 0;
  for (const {type, id, text, length} of waiting) {
    data.writeUInt32BE(length, at);
    data[at + 4] = type;
    data[at + 5] = 0;
    data.writeUInt32BE(Math.floor(id / 2 ** 32), at + 6);
    data.writeUInt32BE(id % 2 ** 32, at + 10);
    data.write(text, at + HEADER);
    at += HEADER + length;
  }
  waiting = [];
  socket.write(data);
}

function obey(type, id, body) {
  switch (type) {
    case CALL: calls.run({id, actions: 0}, run, id, body); break;
    case ANSWER: {
      const done = answers.get(id);
      answers.delete(id);
      done?.(JSON.parse(body));
      break;
    }
    case PING: send(PONG, id, ''); break;
    case LOAD: calls.run({id: 0, actions: 0}, () => load(JSON.parse(body)).then((declared) => send(REGISTER, 0, JSON.stringify(declared)))); break;
  }
}

// run runs a call. What a function returns at once is sent at once: promises cost more than all the rest.
function run(id, body) {
  try {
    const value = dispatch(JSON.parse(body));
    if (value instanceof Promise) value.then((result) => finish(id, result)).catch((cause) => fail(id, cause));
    else finish(id, value);
  } catch (cause) {
    fail(id, cause);
  }
}

function finish(id, value) {
  const text = JSON.stringify(value) ?? 'null';
  if (text.length > MAX || text.length > MAX / 3 && Buffer.byteLength(text) > MAX) {
    throw new Error(`the result has ${text.length} characters, at most ${MAX} bytes are possible`);
  }
  send(RESULT, id, text);
}

function fail(id, cause) { send(ERROR, id, described(cause)); }

// described is an error as text. What hangs on it may be anything: a response that knows its request that knows the response.
function described(cause) {
  let known = {code: 10000, message: 'the error cannot be written as JSON', info: {}, trace: '', unexpected: true};
  try {
    known = {...failure(cause)};
    const text = JSON.stringify(known);
    if (text.length <= MAX / 3) return text;
  } catch (e) {
    console.error(`an error of a function cannot be written as JSON: ${e?.message}`);
  }
  const cut = (text) => (typeof text === 'string' ? text.slice(0, 65536) : '');
  return `{"code":${Number.isSafeInteger(known.code) ? known.code : 10000},"message":${JSON.stringify(cut(known.message))},"info":{},`
    + `"trace":${JSON.stringify(cut(known.trace))},"unexpected":${known.unexpected === true}}`;
}

// failure is an error as the server takes it. What was not meant for the caller is logged here.
function failure(cause) {
  if (cause instanceof sdk.SkygearError) {
    return {code: cause.code, message: cause.message, info: cause.info || {}, trace: '', unexpected: false};
  }
  if (cause instanceof RangeError && /allocation failed/.test(cause.message)) send(RETIRE, 0, ''); // the next one would be fatal
  // What a container rejects with: an error of the server.
  if (typeof cause?.error?.code === 'number' && typeof cause.error.message === 'string') {
    return {code: cause.error.code, message: cause.error.message, info: cause.error.info || {}, trace: '', unexpected: false};
  }
  const trace = cause instanceof Error ? cause.stack : String(cause);
  console.error(trace);
  return {code: 10000, message: String(cause ?? 'An unexpected error has occurred.'), info: {}, trace, unexpected: true};
}

// action asks the server for an action of its wire, on behalf of the call that this code runs in.
function action(payload) {
  const call = calls.getStore() ?? outside;
  const id = call.id * ACTION_FACTOR + (call.actions = (call.actions + 1) % ACTION_FACTOR);
  return new Promise((resolve) => {
    answers.set(id, resolve);
    send(ACTION, id, JSON.stringify(payload));
  });
}

const outside = {id: 0, actions: ACTION_FACTOR / 2};

// stampLines tells the server which call a line of output belongs to.
function stampLines() {
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream);
    let open = null; // whose line has no end yet
    stream.write = (chunk, ...more) => {
      if (typeof chunk !== 'string' || chunk === '') return write(chunk, ...more);
      const id = calls.getStore()?.id ?? 0, goesOn = open === id, cut = open !== null && !goesOn ? '\n' : '';
      const stamp = id ? `\x01${id}\x02` : '';
      const text = stamp && chunk.replace(/^(?=.)/gm, stamp) || chunk;
      open = chunk.endsWith('\n') ? null : id;
      return write(cut + (goesOn && stamp && text.startsWith(stamp) ? text.slice(stamp.length) : text), ...more);
    };
  }
}

module.exports = {start, action};
