// The client itself: configuration, requests, refusals, limits of time.
import { memory } from '../world.mjs';
import { ok, refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

test('config: takes end point and key, resolves with the client', async (w) => {
  const client = w.sdk.create(memory());
  same(await client.config({ apiKey: 'k', endPoint: 'http://localhost:1/app' }) === client, true);
  same([client.apiKey, client.endPoint], ['k', 'http://localhost:1/app/']);
  await client.config({});
  same([client.apiKey, client.endPoint], ['k', 'http://localhost:1/app/'], 'after an empty config');
  client.configApiKey('other');
  client.configEndPoint('http://localhost:2/');
  same([client.apiKey, client.endPoint], ['other', 'http://localhost:2/']);
  client.endPoint = 'http://localhost:3';
  same(client.endPoint, 'http://localhost:3/');
});

test('config: without it nothing is sent', async (w) => {
  const client = w.sdk.create(memory());
  const refusal = (promise) => promise.then(() => 'sent', (error) => error.message);
  same(await refusal(client.lambda('echo')), 'Please config endpoint');
  client.configEndPoint(w.settings.endPoint);
  same(await refusal(client.lambda('echo')), 'Please config ApiKey');
});

test('config: nobody is logged in at first', async (w) => {
  const client = await w.client();
  same([client.auth.currentUser, client.auth.accessToken], [null, null]);
});

test('makeRequest: resolves with the whole answer', async (w) => {
  const client = await w.client();
  same(await client.makeRequest('_status:healthz', {}), { result: { status: 'OK' } });
});

test('makeRequest: the home action', async (w) => {
  const client = await w.client();
  same(await client.makeRequest('', {}), { result: { status: 'OK' } });
});

test('errors: an unknown action', async (w) => {
  const client = await w.client();
  await refused(client.makeRequest('no:such', {}), { status: 404, code: client.ErrorCodes.UndefinedOperation, name: 'UndefinedOperation' });
});

test('errors: a wrong key', async (w) => {
  const client = await w.client({ apiKey: 'wrong' });
  await refused(client.publicDB.query(new w.any.Query(w.type('note'))), { status: 401, code: 103, name: 'AccessKeyNotAccepted' });
});

test('errors: no server', async (w) => {
  const client = await w.client();
  client.endPoint = 'http://127.0.0.1:1/';
  const error = await refused(client.lambda('echo', { message: 'x' }), { status: undefined });
  ok(error instanceof Error, 'the error is no Error');
});

test('errors: the codes have names', async (w) => {
  const { ErrorCodes } = w.any;
  same(Object.keys(ErrorCodes).length, 30);
  same([ErrorCodes.NotAuthenticated, ErrorCodes.AssetSizeTooLarge, ErrorCodes.UnexpectedError], [101, 129, 10000]);
});

test('errors: an Error has code and info and becomes JSON', async (w) => {
  const { Error: SkygearError, ErrorCodes } = w.any;
  const error = new SkygearError('no', ErrorCodes.InvalidArgument, { arguments: ['a'] });
  ok(error instanceof Error, 'not an Error');
  same([error.message, error.code, error.info, error.toString()], ['no', 108, { arguments: ['a'] }, 'SkygearError: no']);
  same(error.toJSON(), { name: 'InvalidArgument', code: 108, message: 'no', info: { arguments: ['a'] } });
  const again = SkygearError.fromJSON(error.toJSON());
  same([again.message, again.code, again.info], [error.message, error.code, error.info]);
  same(new SkygearError('no').toJSON(), { name: 'UnexpectedError', code: 10000, message: 'no' });
});

test('errors: an Error says what it means to people', async (w) => {
  same(new w.any.Error('no', 110).toLocaleString(), 'The requested resource is not found.');
}, { needs: ['Error.toLocaleString'] });

test('timeouts: no answer in time', async (w) => {
  const client = await w.client();
  same(client.timeoutOptions, { response: 60000 });
  for (const timeoutOptions of [{ response: 300 }, { deadline: 300 }]) {
    client.timeoutOptions = timeoutOptions;
    const error = await refused(client.lambda('process_payment', w.slowPayment()), { status: undefined });
    same([error.timeout, error.code], [300, 'ECONNABORTED']);
  }
});

test('timeouts: none at all', async (w) => {
  const client = await w.client();
  client.timeoutOptions = null;
  same(await client.makeRequest('', {}), { result: { status: 'OK' } });
});

test('version: is a version', async (w) => {
  ok(/^\d+\.\d+\.\d+$/.test(w.any.VERSION), w.any.VERSION);
});

test('classes: those of the client\'s parts', async (w) => {
  const { any } = w;
  const parts = [
    [any.AuthContainer, any.auth], [any.RelationContainer, any.relation], [any.PubsubContainer, any.pubsub],
    [any.PushContainer, any.push], [any.Database, any.publicDB],
  ];
  for (const [Class, part] of parts) ok(part instanceof Class, `${Class?.name} is another class`);
  ok(typeof any.DatabaseContainer === 'function', 'no DatabaseContainer');
}, { needs: ['AuthContainer'] });
