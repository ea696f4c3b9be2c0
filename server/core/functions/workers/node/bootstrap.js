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

  const socket = new net.Socket({fd: 3, readable: true, writable: true});
  let data = Buffer.alloc(0);
  socket.on('data', hello);

  function hello(chunk) {
    data = Buffer.concat([data, chunk]);
    if (data.length < HEADER || data.length < HEADER + data.readUInt32BE(0)) return;
    socket.off('data', hello);
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
    embedded('runtime/worker.js').start(socket, data.subarray(end), embedded);
    send(2, {version: process.versions.node});
  }
})();
