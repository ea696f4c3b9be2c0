// Sends what the stripe package asks of Stripe to the server's sandbox, without a change in the code that uses it.
'use strict';
const http = require('http');
const https = require('https');
const {syncBuiltinESMExports} = require('module');

function apply() {
  if (!process.env.STRIPE_API_BASE) return;
  const base = new URL(process.env.STRIPE_API_BASE);
  const original = https.request;
  https.request = function (...args) {
    const options = typeof args[0] === 'object' && !(args[0] instanceof URL) ? args[0] : null;
    const host = options ? options.host || options.hostname : args[0] && new URL(args[0]).hostname;
    if (!/(^|\.)stripe\.com$/.test(String(host).split(':')[0])) return original.apply(this, args);
    if (!options) return refused(host);
    const {ciphers, agent, protocol, hostname, ...kept} = options;
    const request = http.request({...kept, host: base.hostname, port: base.port || 80, agent: new http.Agent({keepAlive: false})}, args[1]);
    // Old versions of the package wait for the end of the TLS handshake before they send the body.
    request.on('socket', (socket) => socket.once('connect', () => socket.emit('secureConnect')));
    return request;
  };
  syncBuiltinESMExports();
  const fetched = globalThis.fetch;
  globalThis.fetch = (target, init) => {
    const address = new URL(target instanceof Request ? target.url : target);
    if (!/(^|\.)stripe\.com$/.test(address.hostname)) return fetched(target, init);
    const moved = base.origin + address.pathname + address.search;
    return fetched(target instanceof Request ? new Request(moved, target) : moved, init);
  };
}

function refused(host) {
  throw new Error(`${host} is not called while the server is in its sandbox`);
}

module.exports = {apply};
