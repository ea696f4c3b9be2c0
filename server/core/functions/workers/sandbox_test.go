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
import urllib.request
import skygear

@skygear.op("reach")
def reach(host):
    urllib.request.urlopen("https://%s/v1/charges" % host, timeout=5)
`},
		JavaScript: {"a.js": `
const {op} = require('skygear/cloud');
op('reach', ({args: {host}}) => new Promise((done, fail) => {
  require('net').connect(443, host).on('error', fail).on('connect', () => done('connected'));
}));
`},
	}
	for l, code := range files {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			p := open(t, Config{Language: l, Env: map[string]string{"STRIPE_API_BASE": "http://127.0.0.1:1"}}, code)
			for _, host := range []string{"api.stripe.com", "stripe.com", "files.STRIPE.com"} {
				if got, err := op(t, p, "reach", `{"host":"`+host+`"}`); err == nil || !strings.Contains(err.Error(), "in its sandbox") {
					t.Errorf("%s: %s, %v", host, got, err)
				}
			}
		})
	}
}
