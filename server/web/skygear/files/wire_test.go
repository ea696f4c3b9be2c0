package files_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/core/assets"
	"crema/server/web/doortest"
)

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// A15: both answers of an upload, with what changes from one to the next replaced.
func TestUpload_GoldenA15(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	put := s.do(t, "POST", "/asset/put", keyed(doortest.APIKey), strings.NewReader(`{"filename":"a.txt","content-type":"text/plain","content-size":5}`))
	var out struct{ Result announced }
	if err := json.Unmarshal([]byte(put.body), &out); err != nil {
		t.Fatal(err)
	}
	golden := func(body string) string {
		body = uuidText.ReplaceAllString(strings.ReplaceAll(body, s.URL, ""), "<uuid>")
		body = strings.ReplaceAll(body, `\u0026`, "&")
		return regexp.MustCompile(`expiredAt=\d+&signature=[A-Za-z0-9_-]{43}=`).ReplaceAllString(body, "<signed>")
	}
	const asset = `{"$type":"asset","$name":"<uuid>-a.txt","$content_type":"text/plain","$url":"/files/<uuid>-a.txt?<signed>"}`
	if diff := cmp.Diff(`{"result":{"asset":`+asset+`,"post-request":{"action":"/files/<uuid>-a.txt"}}}`+"\n", golden(put.body)); diff != "" {
		t.Error(diff)
	}
	if size := s.size(t, out.Result.Asset.Name); size != 5 {
		t.Errorf("before the upload the row says %d bytes", size)
	}
	if got := s.do(t, "GET", out.Result.Asset.URL, nil, nil); got.status != 404 || got.code() != 110 {
		t.Errorf("before the upload: %d %s", got.status, got.body)
	}
	posted := s.post(t, out.Result.PostRequest.Action, "hello world")
	if diff := cmp.Diff(`{"result":`+asset+"}\n", golden(posted.body)); diff != "" {
		t.Error(diff)
	}
	if size := s.size(t, out.Result.Asset.Name); size != 11 {
		t.Errorf("after the upload the row says %d bytes", size)
	}
	got := s.do(t, "GET", out.Result.Asset.URL, nil, nil)
	if got.body != "hello world" || got.header.Get("Content-Type") != "text/plain" || got.header.Get("Content-Length") != "11" {
		t.Errorf("%d %v %q", got.status, got.header, got.body)
	}
}

func TestAssetPut_WantsAKeyAndThreeParametersT7(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, c := range []struct {
		name, key, body string
		status, code    int
		argument        string
	}{
		{"no key", "", `{"filename":"a","content-type":"text/plain","content-size":1}`, 401, 101, ""},
		{"a wrong key", "wrong", `{}`, 401, 103, ""},
		{"a token is no key", "", `{"access_token":"t","filename":"a","content-type":"text/plain","content-size":1}`, 401, 101, ""},
		{"the key in the body", "", `{"api_key":"client-key","filename":"a","content-type":"text/plain","content-size":1}`, 200, 0, ""},
		{"no filename", doortest.APIKey, `{"content-type":"text/plain","content-size":1}`, 400, 108, "filename"},
		{"a filename that is a number", doortest.APIKey, `{"filename":1,"content-type":"text/plain","content-size":1}`, 400, 108, "filename"},
		{"no content type", doortest.APIKey, `{"filename":"a","content-size":1}`, 400, 108, "content-type"},
		{"a content type that is none", doortest.APIKey, `{"filename":"a","content-type":"text/plain\r\nX: y","content-size":1}`, 400, 108, "content-type"},
		{"no size", doortest.APIKey, `{"filename":"a","content-type":"text/plain"}`, 400, 108, "content-size"},
		{"a size as text", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":"1"}`, 400, 108, "content-size"},
		{"null as size", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":null}`, 400, 108, "content-size"},
		{"a negative size", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":-1}`, 400, 108, "content-size"},
		{"half a byte", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":1.5}`, 400, 108, "content-size"},
		{"a size beyond all", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":1e300}`, 400, 108, "content-size"},
		{"nothing announced is fine", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":0}`, 200, 0, ""},
		{"the largest", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":1048576}`, 200, 0, ""},
		{"too large", doortest.APIKey, `{"filename":"a","content-type":"text/plain","content-size":1048577}`, 500, 129, ""},
		{"only dots", doortest.APIKey, `{"filename":"../..","content-type":"text/plain","content-size":1}`, 400, 108, "filename"},
		{"a NUL", doortest.APIKey, `{"filename":"a\u0000b","content-type":"text/plain","content-size":1}`, 400, 108, "filename"},
		{"a newline", doortest.APIKey, `{"filename":"a\nb","content-type":"text/plain","content-size":1}`, 400, 108, "filename"},
		{"a long name", doortest.APIKey, `{"filename":"` + strings.Repeat("x", 501) + `","content-type":"text/plain","content-size":1}`, 400, 108, "filename"},
	} {
		got := s.do(t, "POST", "/asset/put", keyed(c.key), strings.NewReader(c.body))
		if got.status != c.status || got.code() != c.code || !strings.Contains(got.body, c.argument) {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
		}
	}
}

// T43, §2.9: a name goes to the server and back however odd it is; folders stay in front.
func TestAssetPut_EveryNameResolvesT43(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for filename, want := range map[string]string{
		"a b.txt": "<uuid>-a b.txt", "a+b.txt": "<uuid>-ab.txt", "photos/2024/a.jpg": "photos/2024/<uuid>-a.jpg", "/abs.txt": "<uuid>-abs.txt",
		"../../etc/passwd": "etc/<uuid>-passwd", "a..b": "<uuid>-ab", ".hidden": "<uuid>-hidden", "x/.+./y": "<uuid>-y", "dir/": "<uuid>-dir",
		"100%.txt": "<uuid>-100%.txt", "q?a=b#c.txt": "<uuid>-q?a=b#c.txt", "%2e%2e%2fx": "<uuid>-%2e%2e%2fx", "豆.txt": "<uuid>-豆.txt", `b\c"d'.txt`: `<uuid>-b\c"d'.txt`,
		"a;b&c=d,e:f@g": "<uuid>-a;b&c=d,e:f@g", "http://x/y": "http:/x/<uuid>-y",
	} {
		a := s.upload(t, filename, "text/plain", "hello")
		if got := uuidText.ReplaceAllString(a.Asset.Name, "<uuid>"); got != want {
			t.Errorf("%q is called %q, want %q", filename, got, want)
		}
		if got := s.do(t, "GET", a.Asset.URL, nil, nil); got.status != 200 || got.body != "hello" {
			t.Errorf("%q at %s: %d %s", filename, a.Asset.URL, got.status, got.body)
		}
	}
}

func TestUpload_RefusesT43(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	action := s.announce(t, "a.txt", "text/plain").PostRequest.Action
	for _, c := range []struct {
		name         string
		send         func() answer
		status, code int
	}{
		{"a form without a key", func() answer {
			h, b := form(t, part{"file", "text/plain", "x"})
			h.Del("X-Skygear-Api-Key")
			return s.do(t, "POST", action, h, b)
		}, 401, 101},
		{"a wrong key in the query", func() answer {
			h, b := form(t, part{"file", "text/plain", "x"})
			h.Del("X-Skygear-Api-Key")
			return s.do(t, "POST", action+"?api_key=wrong", h, b)
		}, 401, 103},
		{"a form without the part", func() answer {
			h, b := form(t, part{"data", "text/plain", "x"})
			return s.do(t, "POST", action, h, b)
		}, 400, 107},
		{"no form", func() answer { return s.do(t, "POST", action, keyed(doortest.APIKey), strings.NewReader("x")) }, 400, 107},
		{"a form without a boundary", func() answer {
			h := keyed(doortest.APIKey)
			h.Set("Content-Type", "multipart/form-data")
			return s.do(t, "POST", action, h, strings.NewReader("x"))
		}, 400, 107},
		{"a form that breaks off", func() answer {
			h := keyed(doortest.APIKey)
			h.Set("Content-Type", "multipart/form-data; boundary=b")
			return s.do(t, "POST", action, h, strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Type: text/plain\r\n\r\nhalf"))
		}, 400, 107},
		{"a part without a content type, B14", func() answer {
			h, b := form(t, part{"file", "-", "x"})
			return s.do(t, "POST", action, h, b)
		}, 400, 108},
		{"a part with a bad content type", func() answer {
			h, b := form(t, part{"file", "plain", "x"})
			return s.do(t, "POST", action, h, b)
		}, 400, 108},
		{"an empty part", func() answer { return s.post(t, action, "") }, 400, 108},
		{"an empty PUT", func() answer {
			h := keyed(doortest.APIKey)
			h.Set("Content-Type", "text/plain")
			return s.do(t, "PUT", action, h, http.NoBody)
		}, 400, 108},
		{"a PUT without a content type", func() answer {
			return s.do(t, "PUT", action, keyed(doortest.APIKey), strings.NewReader("x"))
		}, 400, 108},
		{"a name of nothing", func() answer { return s.post(t, "/files/+..+", "x") }, 400, 108},
		{"a name with a NUL", func() answer { return s.post(t, "/files/a%00b", "x") }, 400, 108},
	} {
		got := c.send()
		if got.status != c.status || got.code() != c.code {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
		}
	}
	if left := s.stored(t); len(left) > 0 {
		t.Errorf("refused uploads left %v", left)
	}
	if got := s.post(t, action, "fine"); got.status != 200 {
		t.Errorf("after all that: %d %s", got.status, got.body)
	}
}

func TestUpload_WithPUTAndWithTheKeyInTheQuery(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.announce(t, "a.png", "image/png")
	h := http.Header{"Content-Type": {"application/octet-stream"}}
	if got := s.do(t, "PUT", a.PostRequest.Action+"?api_key="+doortest.APIKey, h, strings.NewReader("bytes")); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	got := s.do(t, "GET", a.Asset.URL, nil, nil)
	if got.body != "bytes" || got.header.Get("Content-Type") != "image/png" {
		t.Errorf("the announced type counts, got %v %q", got.header, got.body)
	}
}

// §2.9: clients older than asset:put send a file to a name of their own.
func TestUpload_ANameThatNobodyAnnouncedBecomesANewAsset(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	got := s.post(t, "/files/old/photo.txt", "hello")
	var out struct {
		Result struct {
			Name string `json:"$name"`
			URL  string `json:"$url"`
			Type string `json:"$content_type"`
		}
	}
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		t.Fatal(err)
	}
	if name := uuidText.ReplaceAllString(out.Result.Name, "<uuid>"); name != "old/<uuid>-photo.txt" || out.Result.Type != "text/plain" || s.size(t, out.Result.Name) != 5 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if read := s.do(t, "GET", out.Result.URL, nil, nil); read.body != "hello" {
		t.Errorf("%d %s", read.status, read.body)
	}
}

func TestMethods_OthersAreUndefined(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, method := range []string{"DELETE", "PATCH", "OPTIONS"} {
		if got := s.do(t, method, "/files/x", keyed(doortest.MasterKey), nil); got.status != 404 || got.code() != 117 {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
}

func sign(name string, expires int64, enc *base64.Encoding) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(name + strconv.FormatInt(expires, 10)))
	return enc.EncodeToString(mac.Sum(nil))
}

// T43: py-skygear signs with the alphabet of URLs, the JavaScript runtime with the standard one and
// without escaping it.
func TestRead_SignaturesT43(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.upload(t, "a b.txt", "text/plain", "hello")
	later, earlier := time.Now().Add(time.Minute).Unix(), time.Now().Add(-time.Minute).Unix()
	for sign(a.Asset.Name, later, base64.StdEncoding) == strings.ReplaceAll(sign(a.Asset.Name, later, base64.StdEncoding), "+", "") {
		later++ // a signature in which the alphabets differ
	}
	path := "/files/" + url.PathEscape(a.Asset.Name)
	good := sign(a.Asset.Name, later, base64.URLEncoding)
	for _, c := range []struct {
		name, query  string
		status, code int
	}{
		{"of URLs, padded", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + good, 200, 0},
		{"of URLs, not padded", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + strings.TrimRight(good, "="), 200, 0},
		{"of URLs, escaped", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + url.QueryEscape(good), 200, 0},
		{"standard, escaped", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + url.QueryEscape(sign(a.Asset.Name, later, base64.StdEncoding)), 200, 0},
		{"standard, not escaped", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + sign(a.Asset.Name, later, base64.StdEncoding), 200, 0},
		{"nothing at all", "", 400, 108},
		{"a time that is no number", "expiredAt=soon&signature=" + good, 400, 108},
		{"a time with a fraction", "expiredAt=" + strconv.FormatInt(later, 10) + ".5&signature=" + good, 400, 108},
		{"expired", "expiredAt=" + strconv.FormatInt(earlier, 10) + "&signature=" + sign(a.Asset.Name, earlier, base64.URLEncoding), 403, 102},
		{"another time", "expiredAt=" + strconv.FormatInt(later+1, 10) + "&signature=" + good, 401, 106},
		{"another name", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + sign("x", later, base64.URLEncoding), 401, 106},
		{"no signature", "expiredAt=" + strconv.FormatInt(later, 10), 401, 106},
		{"half a signature", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + good[:20], 401, 106},
		{"no base64", "expiredAt=" + strconv.FormatInt(later, 10) + "&signature=%21%21", 403, 102},
	} {
		if got := s.do(t, "GET", path+"?"+c.query, nil, nil); got.status != c.status || got.code() != c.code {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
		}
	}
	// Who cannot sign does not hear what is there.
	if got := s.do(t, "GET", "/files/nothing?expiredAt="+strconv.FormatInt(later, 10)+"&signature="+good, nil, nil); got.code() != 106 {
		t.Errorf("a file that is not there: %d %s", got.status, got.body)
	}
	signed := "/files/nothing?expiredAt=" + strconv.FormatInt(later, 10) + "&signature=" + sign("nothing", later, base64.URLEncoding)
	if got := s.do(t, "GET", signed, nil, nil); got.status != 404 || got.code() != 110 {
		t.Errorf("a signed URL of nothing: %d %s", got.status, got.body)
	}
}

func TestRead_URLsExpire(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSite(t, func(c *assets.Config) { c.Now = func() time.Time { return now } })
	a := s.upload(t, "a.txt", "text/plain", "hello")
	if want := "expiredAt=" + strconv.FormatInt(now.Add(15*time.Minute).Unix(), 10); !strings.Contains(a.Asset.URL, want) {
		t.Errorf("%s lacks %s", a.Asset.URL, want)
	}
	now = now.Add(15*time.Minute + time.Second)
	if got := s.do(t, "GET", a.Asset.URL, nil, nil); got.status != 403 || got.code() != 102 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestRead_APublicStoreWantsNoSignature(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *assets.Config) { c.Public = true })
	a := s.upload(t, "a.txt", "text/plain", "hello")
	if strings.Contains(a.Asset.URL, "?") {
		t.Errorf("a signed URL: %s", a.Asset.URL)
	}
	got := s.do(t, "GET", a.Asset.URL, nil, nil)
	if got.body != "hello" || got.header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	if got := s.do(t, "GET", "/files/nothing", nil, nil); got.status != 404 || got.code() != 110 {
		t.Errorf("nothing: %d %s", got.status, got.body)
	}
}
