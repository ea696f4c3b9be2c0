// Devices and push notifications.
import { memory } from '../world.mjs';
import { ok, refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

const needs = ['push'];

test('push: register a device, unregister it', async (w) => {
  const storage = memory();
  const client = await w.client({ storage });
  await client.auth.signupWithUsername(w.unique('ada'), 'secret');
  const token = w.unique('token');
  const id = await client.push.registerDevice(token, 'ios', 'com.example.app');
  ok(id && client.push.deviceID === id && client.pubsub.deviceID === id, `the id is ${id}`);
  same(storage.getItem('skygear-deviceid'), id);
  same(await client.push.registerDevice(token, 'android'), id, 'again');
  await client.push.unregisterDevice();
}, { needs });

test('push: a device that the server no longer knows', async (w) => {
  const storage = memory();
  const client = await w.client({ storage });
  await client.auth.signupWithUsername(w.unique('ada'), 'secret');
  const id = await client.push.registerDevice(w.unique('token'), 'android');
  const other = await w.client({ storage });
  same(other.push.deviceID, id);
  await client.makeRequest('device:unregister', { id: '00000000-0000-4000-8000-000000000000' }).then(
    () => ok(false, 'an unknown device was unregistered'), ({ error }) => same(error.code, 110));
  other.push._deviceID = '00000000-0000-4000-8000-000000000000';
  const fresh = await other.push.registerDevice(w.unique('token'), 'android');
  ok(fresh !== id && other.push.deviceID === fresh, 'no new id');
}, { needs });

test('push: logging out unregisters the device', async (w) => {
  const client = await w.user();
  await client.push.registerDevice(w.unique('token'), 'ios');
  same(await client.auth.logout(), null);
}, { needs });

test('push: what is missing', async (w) => {
  const client = await w.user();
  const refusal = (promise) => promise.then(() => 'done', (e) => e.message);
  same(await refusal(client.push.registerDevice('', 'ios')), 'Token cannot be empty');
  same(await refusal(client.push.registerDevice('token')), 'Failed to infer type, please supply a value');
  await refused(client.push.unregisterDevice(), { code: 108 });
  let message;
  try {
    client.push.inferDeviceType();
  } catch (thrown) {
    ({ message } = thrown);
  }
  same(message, 'Failed to infer type, please supply a value');
  await refused((await w.client()).push.registerDevice('token', 'ios'), { status: 401, code: 101 });
}, { needs });
test('push: sending, without a service for it', async (w) => {
  const client = await w.user();
  const notice = { apns: { aps: { alert: 'hi' } }, gcm: { notification: { body: 'hi' } } };
  const unconfigured = { status: 500, code: 10003 };
  await refused(client.push.sendToUser([client.auth.currentUser, 'someone'], notice), unconfigured);
  await refused(client.push.sendToUser('someone', notice, 'topic'), unconfigured);
  await refused(client.push.sendToDevice('device', notice), unconfigured);
  await refused(client.push.sendToDevice(['device'], notice, 'topic'), unconfigured);
}, { needs });
