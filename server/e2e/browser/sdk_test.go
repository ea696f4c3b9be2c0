package browser

import "testing"

const sdkPage = `<!doctype html><script src="/sdk/skygear.js"></script>`

// openSDK opens a page with the SDK as a classic script, configured for the shopfront.
func openSDK(t *testing.T) (*shopfront, *tab) {
	t.Helper()
	s := newShopfront(t)
	s.pages = map[string]string{"/page": sdkPage}
	b := open(t, s.URL+"/page")
	b.want("skygear.config({endPoint: location.origin, apiKey: 'KEY'}).then((s) => s === skygear && [s.endPoint, s.apiKey].join())", s.URL+"/,KEY")
	return s, b
}

func TestSDK_SendsWhatTheOldOneSent(t *testing.T) {
	t.Parallel()
	s, b := openSDK(t)
	b.text("skygear.lambda('sdk-test:echo', {n: 1, when: new Date(0), deep: [{at: new Date(1000)}], none: null})")
	b.text("skygear.lambda('sdk-test/echo')")
	want := []string{
		`{"access_token":null,"action":"sdk-test:echo","api_key":"KEY","args":{"n":1,"when":{"$type":"date","$date":"1970-01-01T00:00:00.000Z"},"deep":[{"at":{"$type":"date","$date":"1970-01-01T00:00:01.000Z"}}],"none":null}}`,
		`{"access_token":null,"action":"sdk-test/echo","api_key":"KEY"}`,
	}
	for i, body := range want {
		if s.rawBody[i] != body {
			t.Errorf("body %d is %s, want %s", i, s.rawBody[i], body)
		}
		r := s.raw[i]
		if r.URL.Path != "/sdk-test/echo" || r.Header.Get("X-Skygear-API-Key") != "KEY" || r.Header.Get("X-Skygear-SDK-Version") == "" ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("request %d: %s %v", i, r.URL, r.Header)
		}
	}
}

func TestSDK_ResolvesWithTheResult(t *testing.T) {
	t.Parallel()
	_, b := openSDK(t)
	b.want("skygear.lambda('sdk-test:null')", "undefined")
	b.want("skygear.lambda('sdk-test:zero')", "0")
	b.want("skygear.lambda('sdk-test:date').then((r) => [r.when instanceof Date, r.when.getTime(), r.list[0].getTime(), r.geo.latitude].join())", "true,1767323045678,1767323045000,1")
}

func TestSDK_RejectsWithStatusAndError(t *testing.T) {
	t.Parallel()
	_, b := openSDK(t)
	const fault = ".then(() => 'resolved', (e) => [Object.keys(e).join('+'), e.status, e.error instanceof Error, e.error.name, e.error.code, e.error.message.split(':')[0], JSON.stringify(e.error.info)].join())"
	b.want("skygear.lambda('sdk-test:refused', {})"+fault, `status+error,400,false,InvalidArgument,108,product_name is missing,{"arguments":["product_name"]}`)
	b.want("skygear.lambda('sdk-test:bare', {})"+fault, "status+error,502,true,Error,,Bad Gateway,")
	b.want("skygear.lambda('sdk-test:garbled', {})"+fault, "status+error,200,true,Error,,Parser is unable to parse the response,")
	b.want("skygear.lambda('sdk-test:lost', {})"+fault, "status+error,,true,Error,,Request has been terminated,")
	b.want("skygear.timeoutOptions.response", "60000")
	b.text("void (skygear.timeoutOptions.response = 100)")
	b.want("skygear.lambda('sdk-test:slow', {})"+fault, "status+error,,true,Error,ECONNABORTED,Response timeout of 100ms exceeded,")
	b.want("skygear.lambda('sdk-test:echo', {a: undefined}).catch((e) => e.message)", "toJSON does not support undefined value")
	b.want("(new skygear.constructor()).lambda('x').catch((e) => e.message)", "Please config endpoint")
	b.want("(new skygear.constructor()).config({endPoint: '/'}).then((s) => s.lambda('x')).catch((e) => e.message)", "Please config ApiKey")
}

func TestSDK_OneClientForScriptAndModule(t *testing.T) {
	t.Parallel()
	_, b := openSDK(t)
	b.want("import('/sdk/skygear.mjs').then((m) => m.default === skygear && skygear.apiKey)", "KEY")
}
