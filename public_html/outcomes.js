// What became of a payment: paid, failed (surely not charged) or unknown. Only a sure answer of the server is a failure;
// whatever leaves a doubt is unknown, because a shopper who is told "not charged" will pay again.

// FAILURES: [what happened, what to do], by the code of the server's answer. All of them mean: not charged.
const FAILURES = {
  card_declined: ['Your card was declined.', 'Try another card, or ask your bank.'],
  insufficient_funds: ['The card has not enough funds.', 'Try another card.'],
  expired_card: ['The card has expired.', 'Check the expiry date, or try another card.'],
  incorrect_cvc: ['The security code is not right.', 'Check the three or four digits on the card and try again.'],
  incorrect_number: ['The card number is not right.', 'Check the number and try again.'],
  incorrect_zip: ['The postal code does not match the card.', 'Check it and try again.'],
  processing_error: ['The bank could not process the payment just now.', 'Try again in a minute.'],
  authentication_required: ['Your bank wants to confirm this payment, which this form cannot do.', 'Try another card.'],
  token_already_used: ['This card entry was already used.', 'Please enter the card again.'],
  price_changed: ['The price has changed.', 'The page now shows the new price. Look at it, then pay if you agree.'],
  product_not_found: ['These beans are no longer for sale.', 'Choose other beans.'],
  invalid_email: ['The e-mail address is not right.', 'Check it in the card form and try again.'],
  invalid_token: ['The card details did not arrive whole.', 'Please enter the card again.'],
  invalid_order_key: ['The order could not be read.', 'Reload the page and try again.'],
  order_conflict: ['This order was started for something else.', 'Reload the page and try again.'],
  voided: ['The payment did not go through.', 'Please try again.'],
  invalid_basket: ['This basket cannot be sold as it is.', 'Choose again, with fewer bags.'],
  checkout_expired: ['The checkout was closed before it was paid.', 'You can start again.'],
  payments_paused: ['Payments are paused for a moment.', 'Try again in a few minutes.'],
  too_many_attempts: ['Too many cards were refused.', 'Try again in an hour, or write to us.'],
  token_path_off: ['This way of paying is switched off.', 'Use the button for secure checkout.'],
  payments_unavailable: ['Payments are unavailable at the moment.', 'Try again later.'],
};

const UNSURE = new Set(['processing', 'needs_review', 'unknown']);

// judgeResult reads what process_payment returned. repeated: an earlier call of this order got no answer.
export function judgeResult(result, repeated) {
  const error = result && result.error;
  if (error && typeof error === 'object') return judgeError(error, repeated);
  const record = result && Array.isArray(result.result) ? result.result[0] : null;
  if (record && record._type !== 'error' && (record.status === undefined || record.status === 'succeeded')) {
    return {kind: 'paid', record, orderID: result.order_id, statusURL: pageURL(result.status_url)};
  }
  return {kind: 'unknown'};
}

function judgeError(error, repeated) {
  const outcome = {kind: 'failed', code: error.code, orderID: error.order_id, statusURL: pageURL(error.status_url)};
  // Without an order it is a refusal to take new payments, which says nothing about the one that was sent before.
  const refusedOnlyNow = repeated && error.code === 'payments_unavailable' && !error.order_id;
  const known = Object.hasOwn(FAILURES, error.code) && !refusedOnlyNow;
  if (known) return {...outcome, what: FAILURES[error.code][0], next: FAILURES[error.code][1]};
  if (error.retryable === true && !UNSURE.has(error.code) && !refusedOnlyNow) {
    return {...outcome, what: error.message || 'The payment did not go through.', next: 'You can try again.'};
  }
  return {...outcome, kind: 'unknown'};
}

// FINAL are refusals after which the same order can never be paid.
const FINAL = new Set(['invalid_order_key', 'order_conflict', 'too_many_attempts']);

// judgeCheckout reads what create_checkout returned: 'go' to the provider's page; 'paid' and 'wait' have the order's page;
// 'failed' was refused, so nothing new was charged; 'unanswered' is everything else.
export function judgeCheckout(result) {
  const {status, error} = result || {};
  const url = pageURL(result && result.url);
  const statusURL = pageURL(result && result.status_url) || pageURL(error && error.status_url);
  if (status === 'checkout' && url) return {kind: 'go', url, statusURL};
  if (status === 'paid' && statusURL) return {kind: 'paid', url: statusURL, statusURL};
  if (status === 'processing' && statusURL) return {kind: 'wait', url: statusURL, statusURL};
  if (status !== 'declined' || !error) return {kind: 'unanswered'};
  const [what, next] = Object.hasOwn(FAILURES, error.code) ? FAILURES[error.code] : ['The checkout could not be opened.', 'Try again later.'];
  return {kind: 'failed', code: error.code, what, next, statusURL, final: FINAL.has(error.code)};
}

// judgeRejection reads an SDK rejection. Only a well-formed refusal of the request itself, on the very first call, proves that
// nothing ran. 429 does not: browsers repeat a POST by themselves when a connection dies, and the first copy may have run.
export function judgeRejection({status, error} = {}, repeated) {
  const refused = [400, 401, 403, 404, 405, 413, 415].includes(status) && error && Number.isInteger(error.code);
  if (!refused || repeated) return {kind: 'unknown'};
  return {kind: 'failed', code: error.name, what: 'The shop could not take this order.', next: `The shop says: ${error.message}`};
}

// pageURL lets only links through that lead to a page.
function pageURL(value) {
  if (typeof value !== 'string' || value === '') return null;
  const url = new URL(value, location.href);
  return /^https?:$/.test(url.protocol) ? url.href : null;
}
