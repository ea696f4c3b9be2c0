// The shop page: loads the catalogue, keeps the basket, goes to the secure checkout. Where the shop takes card tokens, the
// card form on the page is a second way: it pays a single bag and shows here what became of it.
import skygear from '/sdk/skygear.mjs';
import * as baskets from './basket.js';
import * as hosted from './hosted.js';
import * as purchase from './purchase.js';
import {
  $, clearAlert, showAlert, showBags, showBusy, showChecking, showConfirming, showMode, showNotice, showOnly, showProducts, showReceipt, showTill,
} from './views.js';

const CONFIG_URL = '/payments/config.json';
const STILL_WORKING_MS = 3000;
const HIDDEN_MS = 15000; // a checkout that the browser has not shown by then is offered again
const RECHECK_SECONDS = [1, 2, 3, 5]; // then every 5 s, until RECHECK_LIMIT_MS have passed
const RECHECK_LIMIT_MS = 120000;

let config = null;
let basket = new Map();
let form = null;       // the card form's handler, once its script is here
let ordered = null;    // the product that the open card form is for
let leaving = 0;       // counts visits to the checkout, so that only the latest is given up on
let state = 'loading'; // loading, choosing, leaving, card, paying, confirming, paid
let recheck = {timer: 0, tries: 0, since: 0, busy: false};

async function loadConfig() {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), 15000);
  try {
    const response = await fetch(CONFIG_URL, {cache: 'no-cache', signal: abort.signal});
    if (!response.ok) throw new Error(`${CONFIG_URL}: ${response.status}`);
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

async function start() {
  clearAlert();
  $('order').hidden = false;
  try {
    config = await loadConfig();
    await skygear.config({endPoint: `${location.origin}/`, apiKey: config.api_key});
  } catch {
    loadFailed();
    return;
  }
  showMode(config);
  if (purchase.current().args) return resume();
  const receipt = purchase.lastReceipt();
  if (receipt) return showPaid(receipt);
  openShop();
  lookBack();
}

function loadFailed() {
  const unfinished = Boolean(purchase.current().args);
  $('order').hidden = true;
  showAlert({
    what: navigator.onLine ? 'The shop could not be loaded.' : 'You are offline.',
    charged: unfinished ? 'An earlier payment is still being confirmed: do not pay again.' : 'You have not been charged.',
    next: 'Check the connection, then try again.',
    reference: unfinished ? purchase.current().orderKey : '',
    retry() {
      $('main').focus(); // the pressed button goes away
      start();
    },
  });
}

function openShop() {
  const products = config.products || [];
  if (products.length === 0) {
    showOnly('empty');
    return;
  }
  state = 'choosing';
  basket = baskets.load(products);
  showProducts(products, basket);
  showBusy(false);
  onBasket();
  showOnly('order');
  if (config.popup) loadForm().catch(() => {}); // told when it is needed: the click tries again
}

const order = () => baskets.order(basket, config.products);

// onBasket shows what the fields of the beans say.
function onBasket() {
  for (const input of $('products').querySelectorAll('input')) {
    basket.set(input.dataset.product, baskets.whole(input.value));
    showBags(input, basket.get(input.dataset.product));
  }
  baskets.keep(basket);
  showTill(order(), config.popup);
}

function onStep(event) {
  const button = event.target.closest('button.step');
  if (!button) return;
  const input = button.parentElement.querySelector('input');
  input.value = baskets.whole(baskets.whole(input.value) + Number(button.value));
  onBasket();
  if (button.disabled) input.focus(); // a button that went grey would take the focus with it
}

// lookBack tells how an order that was left at the checkout stands: nobody should pay it twice, or lose it.
async function lookBack() {
  const {status, statusURL} = await hosted.look();
  if (!status || state !== 'choosing') return;
  if (status === 'paid' || status === 'refunded' || status === 'partially_refunded' || status === 'disputed') {
    hosted.finish();
    baskets.empty(config.products);
    openShop();
    showNotice('Your last order is already paid.', 'See the receipt', statusURL);
  } else if (status === 'processing') {
    showNotice('Your last order is being confirmed. Do not pay again.', 'See how it stands', statusURL);
  } else if (status === 'open' && order().bags > 0) {
    showNotice('Your checkout is still open.', 'Continue to checkout', () => $('order').requestSubmit());
  } else {
    showNotice('');
  }
}

// onSubmit goes to the secure checkout.
async function onSubmit(event) {
  event.preventDefault();
  if (state !== 'choosing' || !mayPay()) return;
  state = 'leaving'; // a second press finds this
  clearAlert();
  showBusy(true, 'Taking you to secure checkout…');
  const slow = setTimeout(() => showBusy(true, 'Still working… You are taken to the checkout in a moment.'), STILL_WORKING_MS);
  const outcome = await hosted.open(order(), $('email').value.trim());
  clearTimeout(slow);
  if (outcome.url) return leaveFor(outcome);
  state = 'choosing';
  showBusy(false);
  showTill(order(), config.popup);
  showRefused(outcome);
}

// mayPay says at once what cannot be paid.
function mayPay() {
  const {bags, currency} = order();
  if (navigator.onLine && bags > 0 && currency) return true;
  if (!navigator.onLine) showAlert({what: 'You are offline.', next: 'Connect to the internet, then pay.'});
  else if (bags === 0) showAlert({what: 'Your basket is empty.', charged: '', next: 'Choose at least one bag.'});
  else showAlert({what: 'These beans are priced in different currencies.', charged: '', next: 'Order them one after the other.'});
  return false;
}

function leaveFor({kind, url}) {
  if (kind === 'paid') baskets.empty(config.products);
  const visit = ++leaving;
  setTimeout(() => visit === leaving && document.visibilityState === 'visible' && comeBack(), HIDDEN_MS);
  location.assign(url);
}

async function showRefused(outcome) {
  if (outcome.kind === 'unanswered') {
    showAlert({
      what: navigator.onLine ? 'The shop did not answer.' : 'You are offline.',
      charged: outcome.shown ? 'If you have paid already, do not pay again: the shop knows it as soon as it answers.' : 'You have not been charged.',
      next: 'Check the connection, then press “Pay securely” again: it is the same order.',
    });
    return;
  }
  if (['product_not_found', 'invalid_basket'].includes(outcome.code)) {
    config = await loadConfig().catch(() => config);
    openShop();
  }
  showAlert({...outcome, reference: outcome.orderKey});
}

// comeBack gives the page back to a shopper who returned from the checkout.
function comeBack() {
  if (state !== 'leaving') return;
  openShop();
  lookBack();
}

// loadForm fetches the card form's script, once.
function loadForm() {
  loadForm.loading ||= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = config.popup;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${config.popup} could not be loaded`));
    document.head.append(script);
  }).then(() => {
    form = window.StripeCheckout.configure({key: config.key, image: '/favicon.svg', locale: 'auto', token: onToken, closed: onClosed});
  });
  loadForm.loading.catch(() => { loadForm.loading = null; });
  return loadForm.loading;
}

// onPayHere opens the card form for the only bag in the basket.
async function onPayHere() {
  if (state !== 'choosing' || !mayPay()) return;
  state = 'card'; // a second press finds this; the button stays enabled, so that the focus can come back to it
  ordered = order().lines[0].product;
  clearAlert();
  $('status').textContent = 'Opening the card form…';
  try {
    await loadForm();
    $('status').textContent = '';
    const description = ordered.weight_grams ? `${ordered.name}, ${ordered.weight_grams} g` : ordered.name;
    form.open({name: 'Crema Coffee', description, amount: ordered.unit_amount, currency: ordered.currency, email: $('email').value.trim()});
  } catch {
    onClosed();
    showAlert({what: 'The card form could not be loaded.', next: 'Check the connection, then try again.'});
  }
}

function onClosed() {
  if (state !== 'card') return; // a token came first
  state = 'choosing';
  showBusy(false);
  showTill(order(), config.popup);
}

async function onToken(token) {
  if (state !== 'card') return;
  state = 'paying';
  showBusy(true, 'Taking the payment…', 'pay-here');
  const slow = setTimeout(() => showBusy(true, 'Still working… Please keep this page open, and do not pay again.', 'pay-here'), STILL_WORKING_MS);
  const outcome = await purchase.pay(ordered, token);
  clearTimeout(slow);
  conclude(outcome);
}

function conclude(outcome) {
  if (outcome.kind === 'paid') return showPaid(outcome.receipt);
  if (outcome.kind === 'failed') return showFailed(outcome);
  if (state !== 'confirming') recheck = {timer: 0, tries: 0, since: Date.now(), busy: false};
  state = 'confirming';
  showConfirming(outcome);
  checkLater();
}

function showPaid(receipt) {
  state = 'paid';
  baskets.empty(config.products || []);
  showNotice('');
  showReceipt(receipt, config.mode);
}

async function showFailed(outcome) {
  if (['price_changed', 'product_not_found'].includes(outcome.code)) {
    config = await loadConfig().catch(() => config);
  }
  openShop();
  showAlert({...outcome, reference: outcome.orderID || outcome.purchase.orderKey});
}

// resume takes up a payment whose answer this page never got: after a reload, or from the browser's page cache.
function resume() {
  state = 'confirming';
  showNotice('');
  recheck = {timer: 0, tries: 0, since: Date.now(), busy: false};
  showConfirming({purchase: purchase.current()});
  return checkNow();
}

async function checkNow() {
  if (state !== 'confirming' || recheck.busy) return;
  clearTimeout(recheck.timer);
  recheck.busy = true;
  showChecking(true, 'Asking the shop…');
  const outcome = await purchase.check();
  recheck.busy = false;
  showChecking(false, '');
  conclude(outcome);
}

function checkLater() {
  clearTimeout(recheck.timer);
  if (Date.now() - recheck.since > RECHECK_LIMIT_MS) {
    showChecking(false, 'There is no answer yet. Keep the reference, and check again later: this page stays valid.');
    return;
  }
  if (!navigator.onLine) {
    showChecking(false, 'You are offline. This page asks again as soon as you are connected.');
    return;
  }
  const seconds = RECHECK_SECONDS[Math.min(recheck.tries++, RECHECK_SECONDS.length - 1)];
  showChecking(false, 'Not confirmed yet. Asking again soon.');
  recheck.timer = setTimeout(checkNow, seconds * 1000);
}

function onAgain() {
  purchase.forgetReceipt();
  openShop();
  $('main').focus();
}

// onShow runs when the browser brings the page back as it was: what it shows may be long out of date.
function onShow(event) {
  if (!event.persisted || !config) return;
  if (form) form.close();
  if (purchase.current().args) return resume();
  if (state === 'card') onClosed();
  if (state === 'leaving') return comeBack();
  if (state === 'choosing') return lookBack();
}

function showConnection() {
  $('offline').textContent = navigator.onLine ? '' : 'You are offline. Nothing can be paid until you are connected again.';
  if (navigator.onLine && state === 'confirming') checkNow();
}

$('order').addEventListener('submit', onSubmit);
$('products').addEventListener('click', onStep);
$('products').addEventListener('input', onBasket);
$('products').addEventListener('change', (event) => { // what was typed becomes what is ordered
  event.target.value = baskets.whole(event.target.value);
  onBasket();
});
$('pay-here').addEventListener('click', onPayHere);
$('check').addEventListener('click', () => {
  recheck.since = Date.now();
  checkNow();
});
$('print').addEventListener('click', () => window.print());
$('again').addEventListener('click', onAgain);
window.addEventListener('pageshow', onShow);
window.addEventListener('popstate', () => form && form.close());
window.addEventListener('online', showConnection);
window.addEventListener('offline', showConnection);
showConnection();
start();
