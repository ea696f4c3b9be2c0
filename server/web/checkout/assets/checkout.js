/*
 * checkout.js: the sandbox's stand-in for the retired card popup. No money moves.
 *
 *   const handler = StripeCheckout.configure({key: 'pk_test_...', token: (token, args) => {...}});
 *   button.onclick = () => handler.open({name: 'Kenya AA', amount: 1000, currency: 'usd'});
 *
 * or, inside a form, with no script of the page's own:
 *
 *   <script src="/stripe/checkout.js" class="stripe-button" data-key="pk_test_..." data-amount="1000"></script>
 *
 * The card is typed into an iframe of the server that served this file, and that frame makes the token itself:
 * a card number never exists in the page. Page and frame talk by messages {v: 1, nonce, type, ...}; each checks
 * the other's window, origin and nonce. Page to frame: open{options}; close is taking the frame away.
 * Frame to page: ready, opened, token{token, args}, closed, error{message}.
 */
(function () {
  'use strict';

  const script = document.currentScript;
  if (window.StripeCheckout && window.StripeCheckout.sandbox) { // included again, for another button
    window.StripeCheckout.insertButton(script);
    return;
  }

  const origin = script && script.src ? new URL(script.src).origin : location.origin;
  const READY_LIMIT_MS = 20000;
  const FRAME_OPTIONS = ['key', 'name', 'description', 'image', 'amount', 'currency', 'locale', 'email', 'panelLabel',
    'zipCode', 'billingAddress', 'shippingAddress'];

  let current = null; // the one open Popup of this page

  // Handler is what configure returns. Options given to open() win over those given to configure().
  class Handler {
    constructor(options) {
      this.options = normalise(options);
      if (this.options.key !== undefined) refuseKey(this.options.key); // else it may come with open()
    }

    // open shows the form. It does nothing while a form is open, and refuses a key that is not publishable.
    open(options) {
      if (current) return;
      const merged = {...this.options, ...normalise(options)};
      if (refuseKey(merged.key)) return;
      current = new Popup(merged, this);
    }

    // close takes the form away as Esc does: closed() is called, token() is not. Other handlers' forms stay.
    close() {
      if (current && current.handler === this) current.end();
    }
  }

  // Popup is one opening of the form, from open() to closed().
  class Popup {
    constructor(options, handler) {
      this.options = options;
      this.handler = handler;
      this.nonce = randomNonce();
      this.opener = document.activeElement;
      this.iframe = makeFrame(this.nonce);
      this.restore = [lockScroll(), silenceRest(this.iframe)];
      this.listen(window, 'message', (event) => this.receive(event));
      this.listen(document, 'keydown', (event) => event.key === 'Escape' && this.end());
      this.listen(this.iframe, 'load', () => this.expectReady(1500)); // the frame's script has run by now
      this.expectReady(READY_LIMIT_MS);
      this.iframe.focus();
    }

    listen(target, type, listener) {
      target.addEventListener(type, listener);
      this.restore.push(() => target.removeEventListener(type, listener));
    }

    expectReady(limit) {
      if (this.ready) return;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.fail('The card form could not be loaded. You have not been charged. Please try again.'), limit);
    }

    receive(event) {
      const message = event.data;
      if (event.source !== this.iframe.contentWindow || event.origin !== origin) return;
      if (!message || message.v !== 1 || message.nonce !== this.nonce) return;
      switch (message.type) {
        case 'ready': return this.start();
        case 'opened': return this.opened();
        case 'token': return this.end(message.token, message.args || {});
        case 'closed': return this.end();
        case 'error': return this.fail(String(message.message));
      }
    }

    start() {
      if (this.ready) return;
      this.ready = true;
      clearTimeout(this.timer);
      const options = {};
      for (const name of FRAME_OPTIONS) if (this.options[name] !== undefined) options[name] = this.options[name];
      this.iframe.contentWindow.postMessage({v: 1, nonce: this.nonce, type: 'open', options}, origin);
      this.iframe.focus();
    }

    opened() {
      if (this.shown) return;
      this.shown = true;
      call(this.options.opened);
    }

    fail(text) {
      this.end();
      notice(text);
    }

    // end gives the page back first and calls back afterwards, so that a callback may move the focus or open again.
    end(token, args) {
      if (current !== this) return;
      current = null;
      clearTimeout(this.timer);
      this.restore.forEach((undo) => undo());
      this.iframe.remove();
      if (this.opener && this.opener.isConnected && this.opener !== document.body) this.opener.focus();
      if (token) call(this.options.token || this.options.source, token, args);
      call(this.options.closed);
    }
  }

  function makeFrame(nonce) {
    const iframe = document.createElement('iframe');
    iframe.name = iframe.className = 'stripe_checkout_app';
    iframe.title = 'Sandbox checkout';
    iframe.setAttribute('frameborder', '0');
    // Another colour scheme than the frame's own would make browsers paint it opaque.
    style(iframe, {'position': 'fixed', 'inset': '0', 'width': '100%', 'height': '100%', 'max-width': 'none', 'border': '0',
      'margin': '0', 'z-index': '2147483647', 'background': 'rgba(24, 16, 12, .62)', 'color-scheme': 'light', 'display': 'block'});
    iframe.src = `${origin}/_stripe/checkout/frame#${nonce}`;
    document.body.append(iframe);
    return iframe;
  }

  // lockScroll keeps the page still behind the form, without a jump where the scroll bar was.
  function lockScroll() {
    const root = document.documentElement;
    const before = [root.style.overflow, root.style.paddingRight];
    const bar = window.innerWidth - root.clientWidth;
    if (bar > 0) root.style.paddingRight = `${bar}px`;
    root.style.overflow = 'hidden';
    return () => { [root.style.overflow, root.style.paddingRight] = before; };
  }

  // silenceRest takes the rest of the page out of the tab order and away from screen readers.
  function silenceRest(iframe) {
    const rest = Array.from(document.body.children).filter((el) => el !== iframe && !el.inert);
    rest.forEach((el) => { el.inert = true; });
    return () => rest.forEach((el) => { el.inert = false; });
  }

  // normalise takes options of open() or configure(), or a script's data- attributes, where everything is text.
  function normalise(given) {
    const options = {...given};
    if (options.address !== undefined && options.billingAddress === undefined) options.billingAddress = options.address;
    for (const name of ['zipCode', 'billingAddress', 'shippingAddress']) {
      if (options[name] !== undefined) options[name] = options[name] === true || options[name] === 'true';
    }
    if (options.shippingAddress && !options.billingAddress) {
      console.warn('StripeCheckout: shippingAddress needs billingAddress; asking for both.');
      options.billingAddress = true;
    }
    if (options.amount !== undefined) options.amount = options.amount === '' ? undefined : Number(options.amount);
    if (options.image) options.image = new URL(options.image, document.baseURI).href;
    return options;
  }

  // refuseKey says whether the key cannot be used here, and why, to the developer and on the page. It never repeats a secret.
  function refuseKey(key) {
    const text = keyFault(key);
    if (!text) return false;
    console.error(`StripeCheckout: ${text}`);
    notice(text);
    return true;
  }

  function keyFault(key) {
    if (typeof key !== 'string' || key === '') return 'The option "key" is missing. Give the publishable key, which starts with pk_.';
    if (/^[sr]k_/.test(key)) return 'This page was given a secret key. Take it out of the page, replace it at once, and use the publishable key, which starts with pk_.';
    if (!/^pk_/.test(key)) return 'The option "key" is not a publishable key. Publishable keys start with pk_.';
    return '';
  }

  // insertButton is the simple mode: the script's place in a form gets a button that pays and then submits the form.
  function insertButton(tag) {
    if (!tag || !tag.classList.contains('stripe-button')) return;
    const form = tag.closest('form');
    if (!form) {
      console.error('StripeCheckout: a script of class stripe-button must stand inside a form.');
      return;
    }
    const button = document.createElement('button');
    button.type = 'submit';
    button.className = 'stripe-button-el';
    button.append(Object.assign(document.createElement('span'), {textContent: tag.dataset.label || 'Pay with Card'}));
    tag.after(button);
    styleButton();
    const handler = new Handler({...tag.dataset, token: (token, args) => submitForm(form, button, token, args)});
    button.addEventListener('click', (event) => {
      event.preventDefault();
      if (form.noValidate || form.reportValidity()) handler.open();
    });
    window.addEventListener('pageshow', (event) => { // back from the next page: that token is spent
      if (event.persisted) resetForm(form, button);
    });
  }

  function submitForm(form, button, token, args) {
    resetForm(form, button);
    const fields = {stripeToken: token.id, stripeTokenType: token.type || 'card', stripeEmail: token.email || ''};
    for (const [name, value] of Object.entries(args)) {
      fields['stripe' + name.replace(/(^|_)([a-z])/g, (_, gap, letter) => letter.toUpperCase())] = value;
    }
    for (const [name, value] of Object.entries(fields)) {
      const input = Object.assign(document.createElement('input'), {type: 'hidden', name, value});
      input.dataset.stripeCheckout = '';
      form.append(input);
    }
    button.disabled = true;
    HTMLFormElement.prototype.submit.call(form); // a field named "submit" would hide the method
  }

  function resetForm(form, button) {
    form.querySelectorAll('input[data-stripe-checkout]').forEach((input) => input.remove());
    button.disabled = false;
  }

  // styleButton gives the inserted button a look that any rule of the page overrides.
  function styleButton() {
    if (styleButton.done || !document.adoptedStyleSheets) return;
    styleButton.done = true;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`
      :where(.stripe-button-el) { font: 600 1rem/1.2 system-ui, sans-serif; min-height: 44px; padding: .6em 1.4em; border: 0;
        border-radius: 8px; background: #6b3a1e; color: #fff; cursor: pointer; }
      :where(.stripe-button-el:hover) { background: #552c15; }
      :where(.stripe-button-el:focus-visible) { outline: 3px solid #c77a3a; outline-offset: 2px; }
      :where(.stripe-button-el:disabled) { opacity: .6; cursor: default; }`);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  }

  // notice shows a sentence above everything, where the form itself cannot.
  function notice(text) {
    if (!document.body) {
      document.addEventListener('DOMContentLoaded', () => notice(text), {once: true});
      return;
    }
    document.querySelectorAll('.stripe_checkout_notice').forEach((old) => old.remove());
    const box = document.createElement('div');
    box.className = 'stripe_checkout_notice';
    box.setAttribute('role', 'alert');
    style(box, {'position': 'fixed', 'top': '0', 'left': '0', 'right': '0', 'z-index': '2147483647', 'padding': '12px 16px', 'display': 'flex',
      'gap': '12px', 'align-items': 'center', 'justify-content': 'center', 'background': '#7a1420', 'color': '#fff', 'font': '16px/1.4 system-ui, sans-serif'});
    const button = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Dismiss'});
    style(button, {'min-height': '44px', 'padding': '0 14px', 'font': 'inherit', 'color': '#fff', 'background': 'transparent', 'border': '1px solid #fff', 'border-radius': '6px'});
    button.addEventListener('click', () => box.remove());
    box.append(Object.assign(document.createElement('span'), {textContent: text}), button);
    document.body.append(box);
  }

  function style(element, rules) {
    for (const [name, value] of Object.entries(rules)) element.style.setProperty(name, value, 'important');
  }

  // call runs a callback of the page. What it throws is the page's own, and must not stop ours.
  function call(callback, ...args) {
    if (typeof callback !== 'function') return;
    try {
      callback(...args);
    } catch (error) {
      setTimeout(() => { throw error; });
    }
  }

  function randomNonce() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  window.StripeCheckout = {
    sandbox: true,
    configure: (options) => new Handler(options),
    open: (options) => new Handler(options).open(), // the oldest pages have this form
    insertButton,
  };
  insertButton(script);
})();
