package workers

import (
	"strings"
	"testing"
)

// In the sandbox nothing reaches Stripe by mistake, whatever package asks for it.
func TestSandbox_StripeIsOutOfReach(t *testing.T) {
	t.Parallel()
	files := map[Language]map[string]string{
		Python: {"a.py": `
import _socket
import asyncio
import early
import http.client
import socket
import ssl
import urllib.request
import skygear

ways = {
    "urllib": lambda host: urllib.request.urlopen("https://%s/v1/charges" % host, timeout=5),
    "kept": lambda host: early.getaddrinfo(host, 443),
    "name": lambda host: socket.gethostbyname(host),
    "names": lambda host: socket.gethostbyname_ex(host),
    "socket": lambda host: socket.socket().connect((host, 443)),
    "tls": lambda host: ssl.create_default_context().wrap_socket(socket.socket(), server_hostname=host).connect((host, 443)),
    "below": lambda host: _socket.getaddrinfo(host, 443),
    "asyncio": lambda host: asyncio.run(asyncio.open_connection(host, 443)),
    "proxy": lambda host: http.client.HTTPSConnection("127.0.0.1", 9).set_tunnel(host + ":443"),
}

@skygear.op("reach")
def reach(host):
    reached = []
    for way, go in ways.items():
        try:
            go(host)
            reached.append(way)
        except OSError as e:
            if "in its sandbox" not in str(e):
                reached.append("%s: %s" % (way, e))
    if not reached:
        raise OSError("all are in its sandbox")
    return reached
`},
		JavaScript: {"a.js": `
const {op} = require('skygear/cloud');
const ways = {
  net: (host) => new Promise((done, fail) => require('net').connect(443, host).on('error', fail).on('connect', () => done('connected'))),
  tls: (host) => new Promise((done, fail) => require('tls').connect(443, host).on('error', fail).on('secureConnect', () => done('connected'))),
  http2: (host) => new Promise((done, fail) => require('http2').connect('https://' + host).on('error', fail).on('connect', () => done('connected'))),
  https: (host) => new Promise((done, fail) => require('https').get('https://' + host, done).on('error', fail)),
  promises: (host) => require('dns').promises.lookup(host),
  module: (host) => require('dns/promises').lookup(host),
};
op('reach', async ({args: {host}}) => {
  const reached = [];
  for (const [way, go] of Object.entries(ways)) {
    try {
      await go(host);
      reached.push(way);
    } catch (e) {
      if (!e.message.includes('in its sandbox')) reached.push(way + ": " + e.message);
    }
  }
  if (reached.length === 0) throw new Error('all are in its sandbox');
  return reached;
});
`},
	}
	for l, code := range files {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			packages := app(t, map[string]string{"early.py": "from socket import getaddrinfo\n"})
			p := open(t, Config{Language: l, Env: map[string]string{"STRIPE_API_BASE": "http://127.0.0.1:1", "PYTHONPATH": packages}}, code)
			for _, host := range []string{"api.stripe.com", "stripe.com", "files.STRIPE.com"} {
				if got, err := op(t, p, "reach", `{"host":"`+host+`"}`); err == nil || !strings.Contains(err.Error(), "in its sandbox") {
					t.Errorf("%s: %s, %v", host, got, err)
				}
			}
		})
	}
}
