// The first code of a JavaScript runtime. It reads the runtime's own modules from the server and starts them.
'use strict';
(() => {
  const Module = require('module');
  const net = require('net');
  const HEADER = 14;

  function send(type, content) {
    const body = Buffer.from(JSON.stringify(content));
    const head = Buffer.alloc(HEADER);
    head.writeUInt32BE(body.length, 0);
    head[4] = type;
    socket.write(Buffer.concat([head, body]));
  }

  // What arrives stands in one buffer that the next read overwrites: a new one for each would cost more than a call does.
  const buffer = Buffer.allocUnsafeSlow(64 << 10);
  let receive = hello;
  const socket = new net.Socket({fd: 3, readable: true, writable: true, onread: {buffer, callback: (size) => receive(buffer.subarray(0, size))}});
  socket.resume();
  let data = Buffer.alloc(0);

  function hello(chunk) {
    data = Buffer.concat([data, chunk]);
    if (data.length < HEADER || data.length < HEADER + data.readUInt32BE(0)) return;
    const end = HEADER + data.readUInt32BE(0);
    const {sources} = JSON.parse(data.subarray(HEADER, end));
    if (Number(process.versions.node.split('.')[0]) < 18) {
      send(2, {error: `JavaScript functions need Node 18 or newer; this is ${process.versions.node}`});
      return;
    }
    const loaded = new Map();
    function embedded(file) {
      if (!loaded.has(file)) {
        const m = new Module(`<crema>/${file}`);
        loaded.set(file, m);
        m.require = (name) => name.startsWith('crema/') ? embedded(name.slice('crema/'.length)) : require(name);
        m._compile(sources[file], m.id);
      }
      return loaded.get(file).exports;
    }
    receive = embedded('runtime/worker.js').start(socket);
    if (data.length > end) receive(data.subarray(end));
    send(2, {version: process.versions.node});
  }
})();
