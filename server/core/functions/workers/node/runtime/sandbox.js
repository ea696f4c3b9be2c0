// Sends what the stripe package asks of Stripe to the server's sandbox, without a change in the code that uses it, and
// keeps everything else from reaching Stripe by mistake.
'use strict';
const dns = require('dns');
const http = require('http');
const https = require('https');
const {syncBuiltinESMExports} = require('module');

const isStripe = (host) => /(^|\.)stripe\.com\.?$/i.test(String(host ?? '').replace(/:\d+$/, ''));

function apply() {
  if (!process.env.STRIPE_API_BASE) return;
  const base = new URL(process.env.STRIPE_API_BASE);
  redirectRequests(base);
  redirectFetch(base);
  guard();
  syncBuiltinESMExports();
}

function redirectRequests(base) {
  const original = https.request;
  https.request = function (...args) {
    const options = typeof args[0] === 'object' && !(args[0] instanceof URL) ? args[0] : null;
    if (!options || !isStripe(options.host ?? options.hostname)) return original.apply(this, args);
    const {ciphers, agent, protocol, hostname, ...kept} = options;
    const request = http.request({...kept, host: base.hostname, port: base.port || 80, agent: new http.Agent({keepAlive: false})}, args[1]);
    // Old versions of the package wait for the end of the TLS handshake before they send the body.
    request.on('socket', (socket) => socket.once('connect', () => socket.emit('secureConnect')));
    return request;
  };
  https.get = (...args) => {
    const request = https.request(...args);
    request.end();
    return request;
  };
}

function redirectFetch(base) {
  const original = globalThis.fetch;
  globalThis.fetch = async (target, init) => {
    const address = new URL(target instanceof Request ? target.url : target);
    if (!isStripe(address.hostname)) return original(target, init);
    const moved = base.origin + address.pathname + address.search;
    return original(target instanceof Request ? new Request(moved, target) : moved, init);
  };
}

function guard() {
  const original = dns.lookup;
  dns.lookup = function (host, ...more) {
    if (!isStripe(host)) return original.call(this, host, ...more);
    process.nextTick(more.at(-1), refusal(host));
    return {};
  };
  const promised = dns.promises.lookup;
  dns.promises.lookup = async (host, ...more) => {
    if (isStripe(host)) throw refusal(host);
    return promised.call(dns.promises, host, ...more);
  };
}

function refusal(host) {
  return Object.assign(new Error(`${host} is not called while the server is in its sandbox`), {code: 'ENOTFOUND', hostname: host});
}

module.exports = {apply};
