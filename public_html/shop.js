// The shop page: loads the catalogue, opens the card form, sends the order, shows what became of it.
import skygear from '/sdk/skygear.mjs';
import * as purchase from './purchase.js';
import {$, clearAlert, showAlert, showBusy, showChecking, showConfirming, showMode, showOnly, showProducts, showReceipt, showTill} from './views.js';

const CONFIG_URL = '/payments/config.json';
const STILL_WORKING_MS = 3000;
const RECHECK_SECONDS = [1, 2, 3, 5]; // then every 5 s, until RECHECK_LIMIT_MS have passed
const RECHECK_LIMIT_MS = 120000;

let config = null;
let form = null;       // the card form's handler, once its script is here
let ordered = null;    // the product that the open card form is for
let state = 'loading'; // loading, choosing, card, paying, confirming, paid
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
  const before = chosen();
  showProducts(products, before && before.id);
  showTill(chosen());
  showBusy(false);
  showOnly('order');
  loadForm().catch(() => {}); // told when it is needed: the click tries again
}

function chosen() {
  const input = document.querySelector('input[name=product]:checked');
  return input && config.products.find((product) => product.id === input.value);
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

async function onPay(event) {
  event.preventDefault();
  if (state !== 'choosing') return;
  if (!navigator.onLine) {
    showAlert({what: 'You are offline.', next: 'Connect to the internet, then pay.'});
    return;
  }
  state = 'card'; // a second press finds this; the button stays enabled, so that the focus can come back to it
  ordered = chosen();
  clearAlert();
  $('status').textContent = 'Opening the card form…';
  try {
    await loadForm();
    $('status').textContent = '';
    form.open({name: 'Crema Coffee', description: $('till-item').textContent, amount: ordered.unit_amount, currency: ordered.currency});
  } catch {
    onClosed();
    showAlert({what: 'The card form could not be loaded.', next: 'Check the connection, then try again.'});
  }
}

function onClosed() {
  if (state !== 'card') return; // a token came first
  state = 'choosing';
  showBusy(false);
}

async function onToken(token) {
  if (state !== 'card') return;
  state = 'paying';
  showBusy(true, 'Taking the payment…');
  const slow = setTimeout(() => showBusy(true, 'Still working… Please keep this page open, and do not pay again.'), STILL_WORKING_MS);
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
}

function showConnection() {
  $('offline').textContent = navigator.onLine ? '' : 'You are offline. Nothing can be paid until you are connected again.';
  if (navigator.onLine && state === 'confirming') checkNow();
}

$('order').addEventListener('submit', onPay);
$('order').addEventListener('change', () => showTill(chosen()));
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
