// What the shopper sees. Nothing here decides anything; server text only ever enters through textContent.
import {bag} from './art.js';
import {MOST} from './basket.js';
import {money} from './money.js';

export const $ = (id) => document.getElementById(id);

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// showOnly puts one of the page's views on the screen.
export function showOnly(id) {
  for (const view of ['order', 'empty', 'confirming', 'receipt']) $(view).hidden = view !== id;
  $('hero').hidden = id === 'receipt' || id === 'confirming';
}

// showMode says, above everything and in the title, that no real money moves. A live shop says nothing.
export function showMode({mode, banner}) {
  const prefix = {sandbox: 'Sandbox – ', test: 'Test – '}[mode] || '';
  if (!document.title.startsWith(prefix)) document.title = prefix + document.title;
  $('banner').textContent = banner || (mode === 'live' ? '' : 'No real money moves on this page.');
  $('banner').hidden = $('banner').textContent === '';
  $('test-cards').hidden = mode !== 'sandbox';
}

// showProducts draws each product with its bags.
export function showProducts(products, basket) {
  $('products').replaceChildren(...products.map((product, i) => bean(product, i, basket.get(product.id))));
  $('order').setAttribute('aria-busy', 'false');
}

function bean(product, index, bags) {
  const id = `bean-${index}`;
  const words = element('div', {className: 'words'},
    element('h3', {className: 'name', id: `${id}-name`}, product.name),
    element('p', {className: 'notes', id: `${id}-notes`}, product.description || ''),
    element('p', {className: 'terms'},
      element('span', {className: 'price', id: `${id}-price`}, money(product.unit_amount, product.currency)),
      element('span', {className: 'weight', id: `${id}-weight`}, product.weight_grams ? `${product.weight_grams} g` : '')),
    stepper(product, id, bags));
  const card = element('div', {className: 'bean'}, bag(product.id), words);
  card.classList.toggle('chosen', bags > 0);
  return card;
}

// stepper is a number field with a button on either side.
function stepper(product, id, bags) {
  const input = element('input', {type: 'number', name: 'bags', id, min: 0, max: MOST, step: 1, inputMode: 'numeric', value: bags, autocomplete: 'off'});
  input.dataset.product = product.id;
  input.setAttribute('aria-label', `Bags of ${product.name}`);
  input.setAttribute('aria-describedby', `${id}-price ${id}-weight ${id}-notes`);
  const step = (sign, by, what) => {
    const button = element('button', {type: 'button', className: 'step', value: by}, sign);
    button.setAttribute('aria-label', `One bag of ${product.name} ${what}`);
    return button;
  };
  return element('div', {className: 'stepper'}, step('−', -1, 'less'), input, step('+', 1, 'more'));
}

// showBags brings one product's field in line with the basket.
export function showBags(input, bags) {
  if (input.value !== String(bags) && document.activeElement !== input) input.value = bags;
  const [less, more] = input.parentElement.querySelectorAll('button');
  less.disabled = bags === 0;
  more.disabled = bags === MOST;
  input.closest('.bean').classList.toggle('chosen', bags > 0);
}

const named = (product) => (product.weight_grams ? `${product.name}, ${product.weight_grams} g` : product.name);

// showTill repeats what is going to be paid, next to the button that pays it.
export function showTill({lines, bags, total, currency}, popup) {
  $('till-items').replaceChildren(...lines.map(({product, quantity}) => element('li', {},
    element('span', {}, `${quantity} × ${named(product)}`),
    element('span', {className: 'sum'}, money(quantity * product.unit_amount, product.currency)))));
  $('till-empty').hidden = bags > 0;
  $('till-empty').textContent = 'Your basket is empty.';
  $('till-mixed').hidden = bags === 0 || currency !== null;
  $('total').textContent = currency ? money(total, currency) : '–';
  $('here').hidden = !popup;
  $('pay-here-note').hidden = bags === 1;
  $('pay-here').disabled = bags !== 1;
}

// showBusy switches the form between waiting for the shopper and waiting for the server. An empty text says nothing.
export function showBusy(busy, text = '', button = 'pay') {
  $('choice').disabled = busy;
  for (const [id, waiting, ready] of [['pay', 'Opening…', 'Pay securely'], ['pay-here', 'Paying…', 'Pay with card here']]) {
    const mine = busy && id === button;
    $(id).disabled = busy;
    $(id).classList.toggle('working', mine);
    $(id).textContent = mine ? waiting : ready;
  }
  $('email').disabled = busy;
  $('status').textContent = text;
}

// showNotice tells how the order of an earlier visit stands, with a link or a button. Without words it goes away.
export function showNotice(words, label, action) {
  const parts = words ? [element('span', {}, words)] : [];
  if (typeof action === 'string') parts.push(element('a', {className: 'button quiet', href: action}, label));
  if (typeof action === 'function') {
    const button = element('button', {type: 'button', className: 'button', id: 'continue'}, label);
    button.addEventListener('click', action);
    parts.push(button);
  }
  $('notice').replaceChildren(...parts);
}

// showAlert says what happened, whether the card was charged, what to do, and the reference; and takes the focus there.
export function showAlert({what, charged = 'You have not been charged.', next, reference, retry}) {
  const lines = [element('strong', {}, what), element('span', {}, [charged, next].filter(Boolean).join(' '))];
  if (reference) lines.push(element('span', {className: 'reference'}, 'Reference ', element('code', {}, reference)));
  if (retry) {
    const button = element('button', {type: 'button', className: 'button quiet'}, 'Try again');
    button.addEventListener('click', retry);
    lines.push(button);
  }
  $('alert').replaceChildren(...lines);
  $('alert').focus();
  $('alert').scrollIntoView({block: 'nearest'});
}

export function clearAlert() {
  $('alert').replaceChildren();
}

// showConfirming is the view of an unknown outcome. It never says whether the card was charged, because nobody knows yet.
export function showConfirming({orderID, statusURL, purchase}) {
  const first = $('confirming').hidden;
  clearAlert();
  showOnly('confirming');
  $('confirming-text').textContent = 'The answer has not reached this page yet. It asks again by itself, and asking never pays twice.';
  $('confirming-reference').textContent = orderID || purchase.orderKey;
  link($('confirming-link'), statusURL);
  if (first) $('confirming-title').focus();
}

export function showChecking(busy, text) {
  $('check').disabled = busy;
  $('confirming-status').textContent = text;
}

function link(anchor, url) {
  anchor.hidden = !url;
  if (url) anchor.href = url;
}

const BRANDS = {visa: 'Visa', mastercard: 'Mastercard', amex: 'American Express'};

// showReceipt is the view of a paid order; it prints on one page.
export function showReceipt(receipt, mode) {
  clearAlert();
  const time = element('time', {dateTime: receipt.date, title: `${receipt.date.replace('T', ' ').replace(/(\.\d+)?Z$/, '')} UTC`},
    new Intl.DateTimeFormat(undefined, {dateStyle: 'long', timeStyle: 'short'}).format(new Date(receipt.date)));
  const item = receipt.weight ? `${receipt.product}, ${receipt.weight} g` : receipt.product;
  const lines = [
    ['Item', `1 × ${item}`],
    ['Total paid', `${money(receipt.minor, receipt.currency)} ${receipt.currency.toUpperCase()}`, 'grand'],
    ['Date', time],
    receipt.card && receipt.card.last4 && ['Card', `${BRANDS[String(receipt.card.brand).toLowerCase()] || receipt.card.brand || 'Card'} ending in ${receipt.card.last4}`],
    ['Order', element('code', {}, receipt.orderID)],
    receipt.charge && ['Payment reference', element('code', {}, receipt.charge)],
    ['Seller', 'Crema Coffee'],
  ].filter(Boolean);
  $('receipt-lines').replaceChildren(...lines.map(([name, value, className = '']) =>
    element('div', {className}, element('dt', {}, name), element('dd', {}, value))));
  $('receipt-lead').textContent = receipt.email ? `This receipt is for ${receipt.email}.` : 'This is your receipt.';
  $('receipt-sandbox').hidden = mode === 'live';
  $('receipt-sandbox').textContent = mode === 'sandbox' ? 'Sandbox: no real money moved.' : 'Test mode: no real money moved.';
  link($('receipt-link'), receipt.statusURL);
  showOnly('receipt');
  $('receipt-title').focus();
}
