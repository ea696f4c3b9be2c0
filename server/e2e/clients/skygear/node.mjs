// Runs the cases in Node: node node.mjs npm|ours [only]. The settings come from the variable SETTINGS as JSON.
// It writes one line of JSON for each case, "case" with {name, error, ms}, and at last "done".
import { createRequire } from 'node:module';
import { webcrypto } from 'node:crypto';
import { runInThisContext } from 'node:vm';
import * as sdks from './sdks.mjs';
import { runAll } from './suite.mjs';
import './cases/all.mjs';

const require = createRequire(import.meta.url);
globalThis.crypto ??= webcrypto; // Node 18 has none

const load = {
  npm: async () => sdks.npm(require('skygear')),
  // Our client as the server serves it. Node 20 has all that it needs of a browser, but for the socket.
  ours: async ({ endPoint }) => {
    globalThis.WebSocket ??= require('websocket').w3cwebsocket;
    runInThisContext(await (await fetch(`${endPoint}/sdk/skygear.js`)).text(), 'skygear.js');
    return sdks.ours(globalThis.skygear, require('skygear'));
  },
};

const [which, only] = process.argv.slice(2);
const settings = JSON.parse(process.env.SETTINGS);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
console.log = console.error; // the clients chat
await runAll(await load[which](settings), settings, (result) => say({ case: result }), only);
say({ done: true });
process.exit(0); // sockets that try again would keep it alive
