/*
 * frame.js: the card form inside the popup's iframe. It runs on the server's origin, makes the token itself and hands the
 * page nothing but that token. checkout.js is the other side; the messages are described there.
 */
'use strict';

const nonce = location.hash.slice(1);
const $ = (id) => document.getElementById(id);

let shop = null;     // origin of the page above, known and pinned by its first valid message
let options = {};    // what the page passed to open()
let sending = null;  // AbortController of the request under way

const TEST_CARDS = [
  ['4242 4242 4242 4242', 'pays'],
  ['5555 5555 5555 4444', 'pays (Mastercard)'],
  ['3782 822463 10005', 'pays (American Express)'],
  ['4000 0000 0000 0002', 'is declined'],
  ['4000 0000 0000 9995', 'has not enough funds'],
  ['4000 0000 0000 0069', 'has expired'],
  ['4000 0000 0000 0127', 'has a wrong security code'],
  ['4000 0000 0000 0119', 'fails at the bank'],
];

const BRANDS = [
  ['American Express', /^3[47]/, [4, 6, 5]],
  ['Diners', /^3(0[0-5]|[689])/, [4, 6, 4]],
  ['JCB', /^35(2[89]|[3-8])/, [4, 4, 4, 4]],
  ['Mastercard', /^(5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720))/, [4, 4, 4, 4]],
  ['Discover', /^6(011|4[4-9]|5)/, [4, 4, 4, 4]],
  ['UnionPay', /^62/, [4, 4, 4, 4, 3]],
  ['Visa', /^4/, [4, 4, 4, 4]],
];
const ANY_BRAND = ['', /^/, [4, 4, 4, 4, 3]];

function send(type, fields) {
  const target = shop && shop !== 'null' ? shop : '*'; // "ready" carries nothing secret; a file:// page has no origin to name
  window.parent.postMessage({v: 1, nonce, type, ...fields}, target);
}

function receive(event) {
  if (event.source !== window.parent) return;
  const above = location.ancestorOrigins && location.ancestorOrigins[0];
  if (above && event.origin !== above) return;
  if (shop !== null && event.origin !== shop) return;
  const message = event.data;
  if (!message || message.v !== 1 || message.nonce !== nonce) return;
  if (message.type === 'open' && shop === null) {
    shop = event.origin;
    open(message.options || {});
  }
}

function open(given) {
  options = given;
  if (!/^pk_/.test(options.key)) {
    send('error', {message: 'The card form was given no publishable key. You have not been charged.'});
    return;
  }
  showHead();
  showFields();
  $('pay-label').textContent = payLabel();
  $('dialog').hidden = false;
  firstEmpty().focus();
  send('opened');
}

function showHead() {
  $('name').textContent = options.name || 'Pay by card';
  $('description').textContent = options.description || '';
  $('initial').textContent = (options.name || '').trim().slice(0, 1);
  $('initial').hidden = !$('initial').textContent;
  if (!/^(https?:|data:image\/)/.test(options.image || '')) return;
  $('logo').addEventListener('load', () => { $('logo').hidden = false; $('initial').hidden = true; });
  $('logo').src = options.image;
}

function showFields() {
  if (options.email) {
    $('email').value = options.email;
    $('email-field').hidden = true;
    $('email-known').hidden = false;
    $('email-known').textContent = options.email;
  }
  $('zip-field').hidden = !options.zipCode || options.billingAddress;
  if (options.billingAddress) $('addresses').append(addressFields('billing', 'Billing address'));
  if (options.shippingAddress) addShipping();
}

function addShipping() {
  const box = element('input', {type: 'checkbox', id: 'same', checked: true});
  const shipping = addressFields('shipping', 'Shipping address');
  shipping.hidden = true;
  box.addEventListener('change', () => { shipping.hidden = box.checked; });
  $('addresses').append(element('label', {className: 'check'}, box, 'Ship to the billing address'), shipping);
}

function addressFields(kind, legend) {
  const country = element('select', {id: `${kind}_country_code`, autocomplete: `${kind} country`});
  country.append(...countries().map(([code, name]) => element('option', {value: code}, name)));
  country.value = homeCountry();
  const text = (name, label, autocomplete) => field(`${kind}_${name}`, label,
    element('input', {id: `${kind}_${name}`, type: 'text', autocomplete: `${kind} ${autocomplete}`, maxLength: 200}));
  return element('fieldset', {id: `${kind}_address`},
    element('legend', {}, legend),
    text('name', 'Name', 'name'),
    text('address_line1', 'Street and number', 'address-line1'),
    element('div', {className: 'row'}, text('address_zip', 'ZIP or postal code', 'postal-code'), text('address_city', 'City', 'address-level2')),
    text('address_state', 'State or region (optional)', 'address-level1'),
    field(country.id, 'Country', country));
}

function field(id, label, input) {
  input.setAttribute('aria-describedby', 'error');
  return element('div', {className: 'field'}, element('label', {htmlFor: id}, label), input);
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function countries() {
  const codes = 'AD AE AF AG AI AL AM AO AR AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ CA CD CF CG CH CI CK CL CM CN CO CR CV CW CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GW GY HK HN HR HT HU ID IE IL IM IN IQ IS IT JE JM JO JP KE KG KH KI KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MK ML MM MN MO MQ MR MS MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PS PT PY QA RE RO RS RU RW SA SB SC SE SG SH SI SK SL SM SN SO SR SS ST SV SX SZ TC TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VN VU WF WS YE YT ZA ZM ZW'.split(' ');
  const names = new Intl.DisplayNames(['en'], {type: 'region'});
  return codes.map((code) => [code, names.of(code)]).sort((a, b) => a[1].localeCompare(b[1]));
}

function homeCountry() {
  return (/-([A-Z]{2})$/.exec(navigator.language) || [])[1] || 'US';
}

// payLabel is the panelLabel with the amount in its place, or after it; without an amount, without one.
function payLabel() {
  const label = options.panelLabel || 'Pay {{amount}}';
  if (!Number.isFinite(options.amount)) return label.replace('{{amount}}', '').trim();
  const amount = money(options.amount, options.currency || 'usd');
  return label.includes('{{amount}}') ? label.replace('{{amount}}', amount) : `${label} ${amount}`;
}

// money formats minor units by the number of decimals that card networks give the currency.
function money(minor, currency) {
  const code = String(currency).toUpperCase();
  const decimals = / (BIF|CLP|DJF|GNF|JPY|KMF|KRW|MGA|PYG|RWF|VND|VUV|XAF|XOF|XPF) /.test(` ${code} `) ? 0
    : / (BHD|JOD|KWD|OMR|TND) /.test(` ${code} `) ? 3 : 2;
  const major = minor / 10 ** decimals;
  const digits = {minimumFractionDigits: decimals, maximumFractionDigits: decimals};
  const locale = options.locale && options.locale !== 'auto' ? options.locale : undefined;
  try {
    return new Intl.NumberFormat(locale, {style: 'currency', currency: code, ...digits}).format(major);
  } catch { // a locale or currency that the browser does not know
    return `${major.toFixed(decimals)} ${code}`;
  }
}

function brandOf(digits) {
  return BRANDS.find(([, prefix]) => prefix.test(digits)) || ANY_BRAND;
}

// group rewrites an input's text from its digits and leaves the caret after the digit that it stood after.
function group(input, write) {
  const left = input.value.slice(0, input.selectionStart).replace(/\D/g, '').length;
  const text = write(input.value.replace(/\D/g, ''));
  if (text === input.value) return;
  const atEnd = input.selectionStart === input.value.length;
  input.value = text;
  let caret = 0;
  for (let seen = 0; seen < left && caret < text.length; caret++) if (/\d/.test(text[caret])) seen++;
  if (atEnd) caret = text.length;
  input.setSelectionRange(caret, caret);
}

function onNumber() {
  const digits = $('number').value.replace(/\D/g, '');
  const [name, , sizes] = brandOf(digits);
  $('brand').textContent = digits ? name : '';
  $('cvc').maxLength = name === 'American Express' ? 4 : 3;
  group($('number'), (all) => {
    const parts = [];
    for (const size of sizes) {
      if (all) parts.push(all.slice(0, size));
      all = all.slice(size);
    }
    return parts.join(' ');
  });
}

// onExpiry turns 1230, 12/30, 12/2030 and a browser's 2030-12 into "12 / 30" while it is typed.
function onExpiry(event) {
  const filled = /^(\d{4})-(\d{2})$/.exec($('expiry').value);
  if (filled) $('expiry').value = filled[2] + filled[1].slice(2);
  const deleting = event.inputType && event.inputType.startsWith('delete');
  group($('expiry'), (digits) => {
    if (/^[2-9]/.test(digits)) digits = '0' + digits;
    const long = digits.length > 4 && digits.startsWith('20', 2); // 2020 is over, so 20 is the start of 20YY
    const year = digits.length >= 6 && long ? digits.slice(4, 6) : digits.slice(2, long ? 6 : 4);
    if (digits.length < 2 || (digits.length === 2 && deleting)) return digits;
    return `${digits.slice(0, 2)} / ${year}`;
  });
}

function check() {
  const digits = $('number').value.replace(/\D/g, '');
  const month = Number($('expiry').value.slice(0, 2));
  if (!/^[^\s@]+@[^\s@]+$/.test($('email').value.trim())) return ['email', 'Enter your e-mail address, for the receipt.'];
  if (digits.length < 12) return ['number', digits ? 'The card number is incomplete.' : 'Enter the card number.'];
  if (!/^\d\d \/ \d\d$/.test($('expiry').value)) return ['expiry', 'Enter the expiry date as month and year.'];
  if (month < 1 || month > 12) return ['expiry', 'The month of the expiry date is between 01 and 12.'];
  if (!/^\d{3,4}$/.test($('cvc').value)) return ['cvc', 'Enter the security code.'];
  if (!$('zip-field').hidden && !$('zip').value.trim()) return ['zip', 'Enter the ZIP or postal code.'];
  for (const kind of ['billing', 'shipping']) {
    for (const [name, what] of [['name', 'name'], ['address_line1', 'street and number'], ['address_zip', 'ZIP or postal code'], ['address_city', 'city']]) {
      const input = $(`${kind}_${name}`);
      if (input && !$(`${kind}_address`).hidden && !input.value.trim()) return [input.id, `Enter the ${what} of the ${kind} address.`];
    }
  }
  return null;
}

function firstEmpty() {
  return ['email', 'number', 'expiry', 'cvc'].map($).find((input) => !input.value) || $('pay');
}

// showFault says what is wrong and takes the shopper to the field. Nothing has been charged at this point, ever.
function showFault(id, text) {
  clearFault();
  $('error').textContent = text;
  const input = id && $(id);
  if (input) input.setAttribute('aria-invalid', 'true');
  (input || $('error')).focus();
}

function clearFault() {
  $('error').textContent = '';
  document.querySelectorAll('[aria-invalid]').forEach((input) => input.removeAttribute('aria-invalid'));
}

// addressArgs are the second argument of the page's token callback.
function addressArgs() {
  const args = {};
  if (!options.billingAddress) return args;
  const names = new Intl.DisplayNames(['en'], {type: 'region'});
  const copy = (kind, from) => {
    for (const name of ['name', 'address_line1', 'address_zip', 'address_city', 'address_state']) {
      const value = $(`${from}_${name}`).value.trim();
      if (value) args[`${kind}_${name}`] = value;
    }
    const code = $(`${from}_country_code`).value;
    args[`${kind}_address_country`] = names.of(code);
    args[`${kind}_address_country_code`] = code;
  };
  copy('billing', 'billing');
  if (options.shippingAddress) copy('shipping', $('same').checked ? 'billing' : 'shipping');
  return args;
}

function tokenForm(args) {
  const email = $('email').value.trim();
  const form = new URLSearchParams({
    'key': options.key,
    'email': email,
    'card[number]': $('number').value.replace(/\D/g, ''),
    'card[exp_month]': String(Number($('expiry').value.slice(0, 2))),
    'card[exp_year]': `20${$('expiry').value.slice(-2)}`,
    'card[cvc]': $('cvc').value,
    'card[name]': args.billing_name || email,
  });
  const more = {address_zip: args.billing_address_zip || $('zip').value.trim(), address_line1: args.billing_address_line1,
    address_city: args.billing_address_city, address_state: args.billing_address_state, address_country: args.billing_address_country_code};
  for (const [name, value] of Object.entries(more)) if (value) form.set(`card[${name}]`, value);
  return form;
}

async function submit(event) {
  event.preventDefault();
  if (sending) return;
  const fault = check();
  if (fault) return showFault(...fault);
  clearFault();
  const args = addressArgs();
  busy(true);
  try {
    const token = await requestToken(tokenForm(args));
    send('token', {token: {...token, email: token.email || $('email').value.trim()}, args});
  } catch (fault) {
    busy(false);
    showFault(fault.field, fault.text || 'The card could not be checked: no answer from the server. You have not been charged. Try again.');
  }
}

function busy(on) {
  if (on) $('dialog').focus(); // a disabled button loses the focus, and with it the keyboard
  sending = on ? new AbortController() : null;
  $('pay').disabled = on;
  $('form').setAttribute('aria-busy', String(on));
  $('working').textContent = on ? 'Checking the card…' : '';
}

async function requestToken(form) {
  const timer = setTimeout(() => sending && sending.abort(), 30000);
  try {
    const response = await fetch('/_stripe/v1/tokens', {method: 'POST', body: form, signal: sending.signal});
    const body = await response.json();
    if (response.ok && /^tok_/.test(body.id)) return body;
    const error = body.error || {};
    const field = {number: 'number', exp_month: 'expiry', exp_year: 'expiry', cvc: 'cvc', address_zip: 'zip', email: 'email'}[(error.param || '').replace(/^card\[(.*)\]$/, '$1')];
    throw {field, text: `${error.message || 'The card was not accepted.'} You have not been charged.`};
  } finally {
    clearTimeout(timer);
  }
}

// onKey closes on Escape and keeps Tab inside the form.
function onKey(event) {
  if (event.key === 'Escape') send('closed');
  if (event.key !== 'Tab') return;
  const stops = Array.from(document.querySelectorAll('#dialog :is(button, input, select, summary)'))
    .filter((el) => !el.disabled && el.getClientRects().length > 0 && (el.tagName === 'SUMMARY' || !el.closest('details:not([open])')));
  const last = stops[stops.length - 1];
  const active = document.activeElement;
  if (event.shiftKey && (active === stops[0] || active === $('dialog'))) {
    event.preventDefault();
    last.focus();
  } else if (!event.shiftKey && active === last) {
    event.preventDefault();
    stops[0].focus();
  }
}

function listTestCards() {
  for (const [number, outcome] of TEST_CARDS) {
    const button = element('button', {type: 'button', className: 'fill'}, number);
    button.setAttribute('aria-label', `Use test card ${number}, which ${outcome}`);
    button.addEventListener('click', () => fill(number));
    $('test-cards').append(element('li', {}, button, ` ${outcome}`));
  }
}

function fill(number) {
  $('number').value = number;
  onNumber();
  $('expiry').value = `12 / ${String((new Date().getFullYear() + 3) % 100).padStart(2, '0')}`;
  $('cvc').value = number.startsWith('37') ? '1234' : '123';
  clearFault();
  firstEmpty().focus();
}

function begin() {
  if (window.parent === window || !nonce) {
    $('stray').hidden = false;
    return;
  }
  listTestCards();
  $('number').addEventListener('input', onNumber);
  $('expiry').addEventListener('input', onExpiry);
  $('cvc').addEventListener('input', () => { $('cvc').value = $('cvc').value.replace(/\D/g, ''); });
  $('form').addEventListener('submit', submit);
  $('close').addEventListener('click', () => send('closed'));
  document.addEventListener('keydown', onKey);
  window.addEventListener('message', receive);
  send('ready');
}

begin();
