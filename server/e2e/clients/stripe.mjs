// The story of sandboxtest.Scenario, told by npm stripe: node stripe.mjs <url> <key> <stripe4|cjs|esm>
import assert from 'node:assert/strict';
import http from 'node:http';
import { createRequire } from 'node:module';

const [url, key, which] = process.argv.slice(2);
const { hostname: host, port } = new URL(url);
const require = createRequire(import.meta.url);

async function open() {
  if (which === 'stripe4') {
    const stripe = require('stripe4')(key);
    stripe.setHost(host, port, 'http');
    return stripe;
  }
  const module = which === 'esm' ? await import('stripe') : require('stripe');
  const Stripe = module.default ?? module;
  return new Stripe(key, { host, port, protocol: 'http', telemetry: false });
}

const old = which === 'stripe4';
const stripe = await open();
const once = (k) => (old ? { idempotency_key: k } : { idempotencyKey: k });

async function refused(promise, want) {
  const error = await promise.then(() => assert.fail('the call should have been refused'), (e) => e);
  const got = {};
  for (const k of Object.keys(want)) got[k] = error[k] ?? error.raw?.[k];
  assert.deepEqual(got, want);
  return error;
}

// A customer keeps a card and is charged.
const customer = await stripe.customers.create({ email: 'ada@example.com', source: 'tok_visa' });
const byCustomer = await stripe.charges.create({ amount: 700, currency: 'usd', customer: customer.id });
assert.equal(byCustomer.customer, customer.id);
assert.equal(old ? customer.sources.data.length : customer.sources, old ? 1 : undefined);

// A card becomes a token, the token a charge; the same key charges once.
const token = await stripe.tokens.create({
  card: { number: '4242424242424242', exp_month: 12, exp_year: new Date().getFullYear() + 1, cvc: '123' },
});
const order = {
  amount: 1000, currency: 'usd', source: token.id, description: 'beans & <milk>', metadata: { order: '7' },
  expand: ['balance_transaction'],
};
const ch = await stripe.charges.create(order, once(`key-${which}`));
const again = await stripe.charges.create(order, once(`key-${which}`));
assert.equal(again.id, ch.id);
assert.equal(ch.balance_transaction.net, 941);
assert.equal(ch.description, 'beans & <milk>');
assert.equal(ch.metadata.order, '7');
assert.deepEqual(old ? ch.refunds.data : ch.refunds, old ? [] : undefined);
// Stripe 4 does not know this type of error and says only "Generic".
await refused(stripe.charges.create({ ...order, amount: 2000 }, once(`key-${which}`)), old ? { type: 'Generic' } : { statusCode: 400 });
await refused(stripe.charges.create(order), { statusCode: 400, code: 'token_already_used' });

// A decline names the failed charge.
const declined = await refused(
  stripe.charges.create({ amount: 1000, currency: 'usd', source: 'tok_chargeDeclinedInsufficientFunds' }),
  { statusCode: 402, type: 'StripeCardError', code: 'card_declined', decline_code: 'insufficient_funds' },
);
const failed = await stripe.charges.retrieve(declined.raw.charge);
assert.equal(failed.status, 'failed');

// Refunds: a part, too much, the rest, nothing left.
const part = await stripe.refunds.create({ charge: ch.id, amount: 400 });
await refused(stripe.refunds.create({ charge: ch.id, amount: 601 }), { statusCode: 400, param: 'amount' });
await stripe.refunds.create({ charge: ch.id });
await refused(stripe.refunds.create({ charge: ch.id }), { statusCode: 400, code: 'charge_already_refunded' });
assert.equal((await stripe.charges.retrieve(ch.id)).amount_refunded, 1000);
assert.equal((await stripe.refunds.retrieve(part.id)).amount, 400);
if (old) assert.equal((await stripe.charges.retrieve(ch.id)).refunds.data.length, 2);

// Lists and events.
const page = await stripe.charges.list({ limit: 1, customer: customer.id });
assert.equal(page.data[0].id, byCustomer.id);
assert.equal((await stripe.refunds.list({ charge: ch.id })).data.length, 2);
const events = await stripe.events.list({ limit: 100 });
for (const kind of ['customer.created', 'charge.succeeded', 'charge.failed', 'charge.refunded', 'refund.created']) {
  assert.ok(events.data.some((e) => e.type === kind), `there is no event ${kind}`);
}
const refundedEvents = await stripe.events.list({ type: 'charge.refunded' });
assert.equal(refundedEvents.data[0].data.object.id, ch.id);
await refused(stripe.charges.retrieve('ch_nothing'), { statusCode: 404, code: 'resource_missing' });

// Equal calls at the same time: one charge. The old library does not repeat after a 409.
if (!old) {
  const calls = Array.from({ length: 20 }, () =>
    stripe.charges.create({ amount: 500, currency: 'usd', source: 'tok_visa' }, once(`race-${which}`)));
  assert.equal(new Set((await Promise.all(calls)).map((c) => c.id)).size, 1);
}
assert.equal((await stripe.customers.del(customer.id)).deleted, true);

// A payment intent: npm stripe 4 is older than it and calls it by its path.
const call = old
  ? (path, ...args) => {
      const { StripeResource } = require('stripe4');
      const go = StripeResource.method({ method: args.length ? 'POST' : 'GET', path });
      return new (StripeResource.extend({ path: '', go }))(stripe).go(...args.filter(Boolean));
    }
  : null;
const intents = old
  ? { create: (p, o) => call('payment_intents', p, o), retrieve: (id) => call(`payment_intents/${id}`), confirm: (id, p) => call(`payment_intents/${id}/confirm`, p) }
  : stripe.paymentIntents;
const sessions = old
  ? { create: (p, o) => call('checkout/sessions', p, o), retrieve: (id) => call(`checkout/sessions/${id}`), expire: (id) => call(`checkout/sessions/${id}/expire`, { expand: ['payment_intent'] }) }
  : stripe.checkout.sessions;
const intent = await intents.create({ amount: 1300, currency: 'usd', payment_method_types: ['card'], metadata: { order: '8' } });
assert.equal(intent.status, 'requires_payment_method');
const refusedIntent = await refused(intents.confirm(intent.id, { payment_method: 'pm_card_visa_chargeDeclined' }), { statusCode: 402, code: 'card_declined' });
assert.equal(refusedIntent.raw.payment_intent.id, intent.id);
const paid = await intents.confirm(intent.id, { payment_method: 'pm_card_visa' });
assert.equal(paid.status, 'succeeded');
assert.equal(old ? paid.charges.data.length : paid.charges, old ? 2 : undefined);
const asks = await intents.create({
  amount: 1300, currency: 'usd', payment_method_types: ['card'], payment_method: 'pm_card_authenticationRequired', confirm: true, return_url: 'http://shop.example/back',
});
assert.equal(asks.next_action.redirect_to_url.url, `${url}/_stripe/3ds/${asks.id}`);
assert.equal((await intents.retrieve(asks.id)).status, 'requires_action');

// A checkout session, paid by its page's form; another one expires.
const basket = {
  mode: 'payment', success_url: 'http://shop.example/orders/7?cs={CHECKOUT_SESSION_ID}', cancel_url: 'http://shop.example/', customer_email: 'ada@example.com',
  line_items: [
    { quantity: 2, price_data: { currency: 'usd', unit_amount: 1450, product_data: { name: 'Beans' } } },
    { quantity: 1, price_data: { currency: 'usd', unit_amount: 600, product_data: { name: 'Cup' } } },
  ],
};
const session = await sessions.create(basket, once(`session-${which}`));
assert.equal((await sessions.create(basket, once(`session-${which}`))).id, session.id);
assert.equal(session.amount_total, 3500);
assert.equal(session.ui_mode, old ? 'hosted' : 'hosted_page');
const form = new URLSearchParams({ number: '4242424242424242', expiry: '12 / 40', cvc: '123' });
const pressed = await new Promise((resolve, reject) => {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const request = http.request(session.url, { method: 'POST', agent: false, headers }, (response) => {
    response.resume();
    response.on('end', () => resolve(response));
  });
  request.on('error', reject);
  request.end(form.toString());
});
assert.equal(pressed.statusCode, 303);
assert.equal(pressed.headers.location, `http://shop.example/orders/7?cs=${session.id}`);
const complete = await sessions.retrieve(session.id);
assert.deepEqual([complete.status, complete.payment_status], ['complete', 'paid']);
assert.equal((await stripe.refunds.create({ payment_intent: complete.payment_intent })).amount, 3500);
const late = await sessions.create(basket);
assert.equal((await sessions.expire(late.id)).status, 'expired');

// Events are signed for a webhook.
if (!old) {
  const endpoint = await stripe.webhookEndpoints.create({ url: 'http://127.0.0.1:1/', enabled_events: ['*'] });
  assert.match(endpoint.secret, /^whsec_/);
  assert.equal((await stripe.webhookEndpoints.del(endpoint.id)).deleted, true);
}
const kinds = (await stripe.events.list({ limit: 100 })).data.map((e) => e.type);
for (const kind of ['payment_intent.requires_action', 'payment_intent.payment_failed', 'checkout.session.completed', 'checkout.session.expired']) {
  assert.ok(kinds.includes(kind), `there is no event ${kind}`);
}
console.log(`ok ${which}`);
// The library does not read the answers that it repeats a call after (409), and their sockets keep node alive.
process.exit(0);
