// One purchase at the secure checkout. Its order_key stays the same until the outcome is final: the server
// joins calls with the same key, closes the page of an older basket before it opens another one, and never
// lets two of them be paid. So a call that got no answer is simply repeated.
import skygear from '/sdk/skygear.mjs';
import {read, uuid, write} from './kept.js';
import {judgeCheckout} from './outcomes.js';

const CHECKOUT = 'crema.checkout';
const AGAIN_MS = 1000;

// current is this tab's purchase: {orderKey, sent?, statusURL?}. sent: a checkout may be open at the
// provider. statusURL: its order's page is known.
export function current() {
  const kept = read(CHECKOUT);
  if (kept && kept.orderKey) return kept;
  const fresh = {orderKey: uuid()};
  write(CHECKOUT, fresh);
  return fresh;
}

// finish ends the purchase: the next one is another order.
export function finish() {
  write(CHECKOUT, null);
}

// open asks for the checkout of an order and resolves with what to do: go to a page, or say what is wrong.
export async function open({lines}, email) {
  const purchase = {...current(), sent: true};
  write(CHECKOUT, purchase);
  const args = {items: lines.map(({product, quantity}) => ({product_id: product.id, quantity})), order_key: purchase.orderKey};
  if (email) args.email = email;
  let outcome = await ask(args);
  if (outcome.kind === 'unanswered') {
    await new Promise((done) => setTimeout(done, AGAIN_MS));
    outcome = await ask(args);
  }
  if (outcome.statusURL) write(CHECKOUT, {...purchase, statusURL: outcome.statusURL});
  if (outcome.kind === 'paid' || outcome.final) finish();
  return {...outcome, shown: Boolean(purchase.statusURL), orderKey: purchase.orderKey};
}

async function ask(args) {
  try {
    return judgeCheckout(await skygear.lambda('create_checkout', args));
  } catch (rejection) {
    const {status, error} = rejection || {};
    const refused = [400, 401, 403, 404, 405, 413].includes(status) && error && Number.isInteger(error.code);
    return refused ? {kind: 'failed', code: error.name, what: 'The shop could not take this order.', next: `The shop says: ${error.message}`} : {kind: 'unanswered'};
  }
}

// look asks how the order of an earlier visit to the checkout stands: 'open', 'processing', 'paid', ...
// and '' when there is none or nobody can say.
export async function look() {
  const {statusURL} = current();
  if (!statusURL) return {status: ''};
  try {
    const url = new URL(statusURL, location.href);
    url.pathname += '/status.json';
    const response = await fetch(url, {cache: 'no-store', signal: AbortSignal.timeout(15000)});
    if (response.status === 404) finish(); // the shop was set up anew
    return {status: response.ok ? (await response.json()).status : '', statusURL};
  } catch {
    return {status: ''};
  }
}
