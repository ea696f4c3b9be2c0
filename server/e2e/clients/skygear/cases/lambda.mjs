// Functions of the app.
import { refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

test('lambda: takes arguments and gives the result', async (w) => {
  const client = await w.client();
  same(await client.lambda('echo', { message: 'Käffchen <&> \u2028', count: 7 }), { message: 'Käffchen <&> \u2028', count: 7 });
});

test('lambda: a missing argument', async (w) => {
  const client = await w.client();
  await refused(client.lambda('echo'), { status: 400, code: 108, arguments: ['message'] });
  await refused(client.lambda('echo', {}), { status: 400, code: 108, arguments: ['message'] });
});

test('lambda: an argument of the wrong type', async (w) => {
  const client = await w.client();
  await refused(client.lambda('echo', { message: new Date() }), { status: 400, code: 108, arguments: ['message'] });
});

test('lambda: undefined is no argument', async (w) => {
  const client = await w.client();
  const error = await client.lambda('echo', { message: undefined }).then(() => null, (e) => e);
  same(error?.message, 'toJSON does not support undefined value');
});

test('lambda: no such function', async (w) => {
  const client = await w.client();
  for (const name of ['no_such', 'no:such', 'no/such']) {
    await refused(client.lambda(name, { a: 1 }), { status: 404, code: 117, name: 'UndefinedOperation' });
  }
});

test('lambda: a purchase', async (w) => {
  const client = await w.client();
  const order = { product_name: 'Kenya AA', product_price: 1000, user_email: 'ada@example.com' };
  const paid = await client.lambda('process_payment', { ...order, stripe_token: 'tok_visa', order_key: w.unique('order') });
  same([paid.result[0].product, paid.result[0].amount, paid.result[0].receipt_email], ['Kenya AA', 10, 'ada@example.com']);
  const declined = await client.lambda('process_payment', { ...order, stripe_token: 'tok_chargeDeclined', order_key: w.unique('order') });
  same(declined.results, 'failed');
});
