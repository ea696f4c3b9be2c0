// Runs the cases in Node: node node.mjs npm [only]. The settings come from the variable SETTINGS as JSON.
// It writes one line of JSON for each case, "case" with {name, error, ms}, and at last "done".
import { createRequire } from 'node:module';
import { webcrypto } from 'node:crypto';
import * as sdks from './sdks.mjs';
import { runAll } from './suite.mjs';
import './cases/all.mjs';

const require = createRequire(import.meta.url);
globalThis.crypto ??= webcrypto; // Node 18 has none

const load = {
  npm: async () => sdks.npm(require('skygear')),
};

const [which, only] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
console.log = console.error; // the clients chat
await runAll(await load[which](), JSON.parse(process.env.SETTINGS), (result) => say({ case: result }), only);
say({ done: true });
process.exit(0); // sockets that try again would keep it alive
