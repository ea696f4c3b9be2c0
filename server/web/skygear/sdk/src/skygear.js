/*
 * skygear.js: the browser client of a Crema server, with the names of Skygear's own client.
 *
 *   <script src="/sdk/skygear.js"></script>          global `skygear`
 *   import skygear from '/sdk/skygear.mjs';          the same object, as an ES module
 *
 *   await skygear.config({endPoint: 'https://shop.example/', apiKey: 'KEY'});
 *   const result = await skygear.lambda('process_payment', {product_name: 'Kenya AA'});
 *
 *   await skygear.auth.loginWithUsername('ada', 'secret');
 *   const Note = skygear.Record.extend('note');
 *   await skygear.publicDB.save(new Note({title: 'First'}));
 *   const notes = await skygear.publicDB.query(new skygear.Query(Note).like('title', 'F%'));
 *   skygear.pubsub.on('notes', (message) => console.log(message));
 *
 * /sdk/skygear.d.mts describes all of it. Promises settle as those of the old client do:
 * - a 2xx answer resolves with the result (undefined when there is none);
 * - any other answer rejects with {status, error}, error being the server's {name, code, message, info};
 * - no answer (offline, refused, cut off, 60 s over) rejects with {status: undefined, error: Error}.
 *   The server may have done the work all the same: such a rejection never means "nothing happened".
 * It opens a websocket when pubsub is first used, and keeps in localStorage who is logged in and nothing else.
 */
(function (root) {
  'use strict';

  if (root.skygear instanceof Object && root.skygear.isCremaClient) return; // loaded twice: keep the configured one

//MODULES

  root.skygear = new SkygearClient();
})(globalThis);
