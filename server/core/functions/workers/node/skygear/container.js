// Clients that act for functions: with the master key, and as a user.
'use strict';
const {randomBytes} = require('crypto');
const http = require('http');
const https = require('https');
const sdk = require('crema/sdk.js');
const {settings} = require('crema/skygear/settings.js');

class CloudCodeContainer extends sdk.SkygearClient {
  constructor({sendPluginRequest = false, asUserId} = {}) {
    super();
    this.sendPluginRequest = Boolean(sendPluginRequest);
    this.asUserId = asUserId;
    this.endPoint = settings.skygearEndpoint;
    this.pubsub = {publish: (channel, data) => publishChannelEvent(channel, data)};
    this.push = new Push(this);
  }

  // makeRequest goes over the socket of the call; to other servers over HTTP.
  async makeRequest(action, params) {
    if (this.apiKey === null) throw new Error('Please config ApiKey');
    const token = this.auth.accessToken;
    const own = {
      ...(token && {access_token: token}), ...(this.asUserId && {_user_id: this.asUserId}), ...(this.sendPluginRequest && {_from_plugin: true}),
    };
    if (this.endPoint !== slashed(settings.skygearEndpoint)) return super.makeRequest(action, {...own, ...params});
    const body = await require('crema/runtime/worker.js').action({...own, ...params, action, api_key: this.apiKey});
    if (body.error) throw {status: undefined, error: body.error};
    return body;
  }
}

// Push sends notifications to devices.
class Push {
  constructor(container) { this._container = container; }

  sendToUser(users, notification, topic) { return this._send('push:user', 'user_ids', users, notification, topic); }
  sendToDevice(devices, notification, topic) { return this._send('push:device', 'device_ids', devices, notification, topic); }

  async _send(action, name, ids, notification, topic) {
    const list = (Array.isArray(ids) ? ids : [ids]).map((one) => one._id || one);
    return (await this._container.makeRequest(action, {[name]: list, notification, ...(topic && {topic})})).result;
  }
}

function slashed(url) { return url.endsWith('/') ? url : url + '/'; }

// getContainer acts with the master key, as the user if one is given.
function getContainer(userId) {
  const container = new CloudCodeContainer({asUserId: userId || undefined});
  container.apiKey = settings.masterKey;
  return container;
}

// publishEventsToChannels sends every event to every channel and resolves when all have been sent.
function publishEventsToChannels(channels, events) {
  const messages = [channels].flat().flatMap((channel) => [events].flat().map((data) => JSON.stringify({action: 'pub', channel, data})));
  return new Promise((resolve, reject) => {
    const address = new URL(settings.pubsubURL.replace(/^ws/, 'http'));
    const request = (address.protocol === 'https:' ? https : http).request(address, {
      headers: {
        'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
        'X-Skygear-API-Key': settings.masterKey ?? '',
      },
      timeout: 10000,
    });
    request.on('error', reject);
    request.on('timeout', () => request.destroy(new Error('the server does not open a socket for messages')));
    request.on('response', (response) => reject(new Error(`the server refuses messages: ${response.statusCode}`)));
    request.on('upgrade', (_, socket) => {
      socket.on('error', reject);
      socket.on('close', () => resolve(getContainer()));
      socket.resume();
      socket.end(Buffer.concat([...messages.map((m) => frame(1, Buffer.from(m))), frame(8, Buffer.from([3, 232]))]));
    });
    request.end();
  });
}

// frame is one message from a client, RFC 6455.
function frame(opcode, payload) {
  const long = payload.length > 65535, middle = !long && payload.length > 125;
  const head = Buffer.alloc(2 + (long ? 8 : middle ? 2 : 0));
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | (long ? 127 : middle ? 126 : payload.length);
  if (long) head.writeBigUInt64BE(BigInt(payload.length), 2);
  else if (middle) head.writeUInt16BE(payload.length, 2);
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4])]);
}

const publishChannelEvents = (channel, events) => publishEventsToChannels([channel], events);
const publishChannelEvent = (channel, event) => publishEventsToChannels([channel], [event]);

module.exports = {CloudCodeContainer, getContainer, publishEventsToChannels, publishChannelEvents, publishChannelEvent};
