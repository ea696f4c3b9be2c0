// Messages between clients.
import { memory } from '../world.mjs';
import { same, soon, throws } from '../check.mjs';
import { test } from '../suite.mjs';

// listening waits until a client certainly hears a channel: its own message comes back.
async function listening(client, channel) {
  let heard;
  const echo = new Promise((resolve) => { heard = resolve; });
  const callback = client.pubsub.on(channel, ({ probe }) => { if (probe) heard(); });
  client.pubsub.publish(channel, { probe: true });
  await soon(echo, 'the echo');
  client.pubsub.off(channel, callback);
}

// inbox collects what comes on a channel; take(n) waits for n messages.
function inbox(client, channel) {
  const messages = [];
  let more = () => {};
  client.pubsub.on(channel, (data) => {
    if (data.probe) return;
    messages.push(data);
    more();
  });
  return {
    messages,
    take: (n) => soon(new Promise((resolve) => {
      more = () => { if (messages.length >= n) resolve(messages); };
      more();
    }), `${n} messages on ${channel}`),
  };
}

test('pubsub: a message reaches everybody who listens, the sender too', async (w) => {
  const [a, b] = [await w.client(), await w.client()];
  const channel = w.unique('room');
  const boxes = [inbox(a, channel), inbox(b, channel)];
  await listening(a, channel);
  await listening(b, channel);
  const message = { x: 1, text: 'ünï', list: [1, null, { deep: true }] };
  a.pubsub.publish(channel, message);
  for (const box of boxes) same(await box.take(1), [message]);
});

test('pubsub: messages keep their order', async (w) => {
  const [a, b] = [await w.client(), await w.client()];
  const channel = w.unique('room');
  const box = inbox(b, channel);
  await listening(b, channel);
  for (let n = 0; n < 50; n += 1) a.pubsub.publish(channel, { n });
  same((await box.take(50)).map(({ n }) => n), Array.from({ length: 50 }, (_, n) => n));
});

test('pubsub: channels are apart', async (w) => {
  const client = await w.client();
  const [one, two] = [w.unique('room'), w.unique('room')];
  const boxes = [inbox(client, one), inbox(client, two)];
  client.pubsub.publish(one, { n: 1 });
  client.pubsub.publish(two, { n: 2 });
  same([await boxes[0].take(1), await boxes[1].take(1)], [[{ n: 1 }], [{ n: 2 }]]);
});

test('pubsub: once', async (w) => {
  const client = await w.client();
  const channel = w.unique('room');
  const first = client.pubsub.once(channel);
  client.pubsub.publish(channel, { n: 1 });
  same(await soon(first, 'the message'), { n: 1 });
  const box = inbox(client, channel);
  client.pubsub.publish(channel, { n: 2 });
  same(await box.take(1), [{ n: 2 }]);
});

test('pubsub: listening before config', async (w) => {
  const client = w.sdk.create(memory());
  const channel = w.unique('room');
  const message = client.pubsub.once(channel);
  const opened = new Promise((resolve) => { client.pubsub.onOpen(resolve); });
  await client.config(w.settings);
  await soon(opened, 'the connection');
  client.pubsub.publish(channel, { n: 1 });
  same(await soon(message, 'the message'), { n: 1 });
  w.sdk.close(client);
});

test('pubsub: off', async (w) => {
  const client = await w.client();
  const channel = w.unique('room');
  const seen = [];
  let arrived;
  const listen = (name) => client.pubsub.on(channel, ({ n }) => {
    seen.push(`${name} ${n}`);
    arrived();
  });
  const send = async (n) => {
    const arrival = new Promise((resolve) => { arrived = resolve; });
    client.pubsub.publish(channel, { n });
    await soon(arrival, `message ${n}`);
  };
  const first = listen('first');
  listen('second');
  await send(1);
  client.pubsub.off(channel, first);
  await send(2);
  client.pubsub.off(channel);
  client.pubsub.publish(channel, { n: 3 });
  listen('third');
  await send(4);
  client.pubsub.off(channel);
  client.pubsub.off(channel);
  same(seen, ['first 1', 'second 1', 'second 2', 'third 4']);
});

test('pubsub: hasHandlers', async (w) => {
  const client = await w.client();
  const says = () => client.pubsub.hasHandlers('room');
  const before = says();
  client.pubsub.on('room', () => {});
  same([before, says()], w.sdk.pubsubTellsHandlers ? [false, true] : [undefined, undefined]);
});

test('pubsub: onOpen, onClose, reconfigure', async (w) => {
  const client = await w.client();
  const channel = w.unique('room');
  const closed = new Promise((resolve) => { client.pubsub.onClose(resolve); });
  const box = inbox(client, channel);
  await listening(client, channel);
  const opened = new Promise((resolve) => { client.pubsub.onOpen(resolve); });
  w.sdk.cut(client);
  await soon(closed, 'the end of the connection');
  await soon(opened, 'the next connection');
  await listening(client, channel);
  client.pubsub.publish(channel, { n: 1 });
  same(await box.take(1), [{ n: 1 }], 'on the next connection');
  client.pubsub.reconfigure();
  client.pubsub.publish(channel, { n: 2 });
  same(await box.take(2), [{ n: 1 }, { n: 2 }], 'after reconfigure');
});

test('pubsub: what cannot be sent', async (w) => {
  const client = await w.client();
  throws(() => client.pubsub.publish('', {}), 'Missing channel to publish');
  for (const data of ['text', 1, null, undefined, [1]]) throws(() => client.pubsub.publish('room', data), 'Data must be object');
  throws(() => client.pubsub.on('', () => {}), 'Missing channel to subscribe');
  throws(() => client.pubsub.off(''), 'Missing channel to unsubscribe');
});

test('pubsub: knows the device', async (w) => {
  same([(await w.client()).pubsub.deviceID], [null]);
}, { needs: ['Pubsub.deviceID'] });
