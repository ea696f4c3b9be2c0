// One purchase with the card form: its order_key, kept in this tab's sessionStorage until the outcome is final. The server joins calls with the
// same order_key and token, so repeating a call that got no answer can never pay twice.
import skygear from '/sdk/skygear.mjs';
import {read, uuid, write} from './kept.js';
import {judgeRejection, judgeResult} from './outcomes.js';

const PURCHASE = 'crema.purchase';
const RECEIPT = 'crema.receipt';
// current is the purchase of this tab, made with the page if there is none: {orderKey, args?, item?, card?}.
// args are there once a card was entered: from then on a call may be under way.
export function current() {
  const kept = read(PURCHASE);
  if (kept && kept.orderKey) return kept;
  const fresh = {orderKey: uuid()};
  write(PURCHASE, fresh);
  return fresh;
}

// pay sends the order for a product with a fresh card token. The purchase is on disk before the request leaves.
export function pay(product, token) {
  const purchase = current();
  purchase.args = {product_name: product.name, product_price: product.unit_amount, stripe_token: token.id, user_email: token.email};
  purchase.item = {name: product.name, unit_amount: product.unit_amount, currency: product.currency, weight_grams: product.weight_grams};
  purchase.card = token.card ? {brand: token.card.brand, last4: token.card.last4} : null;
  write(PURCHASE, purchase);
  return call(purchase, false);
}

// check repeats the call of the unfinished purchase and resolves with its outcome.
export function check() {
  return call(current(), true);
}

async function call(purchase, repeated) {
  const outcome = await ask(purchase, repeated);
  if (outcome.kind === 'unknown') return {...outcome, purchase};
  if (outcome.kind === 'paid') {
    outcome.receipt = receiptOf(outcome, purchase);
    write(RECEIPT, outcome.receipt);
  }
  write(PURCHASE, null);
  return {...outcome, purchase};
}

async function ask(purchase, repeated) {
  try {
    const result = await skygear.lambda('process_payment', {...purchase.args, order_key: purchase.orderKey});
    return judgeResult(result, repeated);
  } catch (rejection) {
    return judgeRejection(rejection, repeated);
  }
}

// receiptOf takes product and amount from the server's record: that is what was paid, whatever the page asked for.
function receiptOf({record, orderID, statusURL}, purchase) {
  const currency = record.currency || purchase.item.currency;
  return {
    orderID: orderID || purchase.orderKey,
    statusURL,
    product: record.product || purchase.item.name,
    weight: record.product === purchase.item.name ? purchase.item.weight_grams : null,
    minor: Number.isInteger(record.amount_minor) ? record.amount_minor : purchase.item.unit_amount,
    currency,
    email: record.receipt_email || null,
    charge: record.charge_id || null,
    card: purchase.card,
    date: new Date(record._created_at || Date.now()).toISOString(),
  };
}

// lastReceipt is the receipt that this tab shows, so that a reload shows it again; forgetReceipt ends that.
export const lastReceipt = () => read(RECEIPT);
export const forgetReceipt = () => write(RECEIPT, null);
