// What the shopper sees. Nothing here decides anything; server text only ever enters through textContent.
import {bag} from './art.js';
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

// showProducts draws one radio button a product and keeps the earlier choice where it still exists.
export function showProducts(products, chosen) {
  const keep = products.some((product) => product.id === chosen) ? chosen : products[0].id;
  $('products').replaceChildren(...products.map((product, i) => bean(product, i, product.id === keep)));
  $('order').setAttribute('aria-busy', 'false');
}

function bean(product, index, checked) {
  const id = `bean-${index}`;
  const input = element('input', {type: 'radio', name: 'product', value: product.id, checked, required: true, id});
  input.setAttribute('aria-labelledby', `${id}-name ${id}-price`);
  input.setAttribute('aria-describedby', `${id}-notes ${id}-weight`);
  const words = element('span', {className: 'words'},
    element('span', {className: 'name', id: `${id}-name`}, product.name),
    element('span', {className: 'notes', id: `${id}-notes`}, product.description || ''),
    element('span', {className: 'terms'},
      element('span', {className: 'price', id: `${id}-price`}, money(product.unit_amount, product.currency)),
      element('span', {className: 'weight', id: `${id}-weight`}, product.weight_grams ? `${product.weight_grams} g` : '')));
  return element('label', {className: 'bean'}, input, bag(product.id), words);
}

// showTill repeats what is going to be paid, next to the button that pays it.
export function showTill(product) {
  $('till-item').textContent = product.weight_grams ? `${product.name}, ${product.weight_grams} g` : product.name;
  $('total').textContent = money(product.unit_amount, product.currency);
}

// showBusy switches the form between waiting for the shopper and waiting for the server. An empty text says nothing.
export function showBusy(busy, text = '') {
  $('choice').disabled = busy;
  $('pay').disabled = busy;
  $('pay').classList.toggle('working', busy);
  $('pay').textContent = busy ? 'Paying…' : 'Pay with card';
  $('status').textContent = text;
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
