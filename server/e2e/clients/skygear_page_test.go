package clients_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"crema/server/testkit/browser"
)

// pageLimit ends the cases in a page. They take some 15 s on an idle machine.
const pageLimit = 6 * time.Minute

// TestNPMSkygear_InAPage runs the cases with the bundle of skygear@1.7.2 in a real browser, on a page of another origin.
func TestNPMSkygear_InAPage(t *testing.T) {
	t.Parallel()
	runInPage(t, "npm")
}

// TestSDK_InAPage does the same with our own client.
func TestSDK_InAPage(t *testing.T) {
	t.Parallel()
	runInPage(t, "ours")
}

func runInPage(t *testing.T, which string) {
	t.Helper()
	needPackage(t, "skygear", "skygear")
	watchScripts(t)
	s := startForSkygear(t)
	site := httptest.NewServer(http.FileServer(http.Dir("skygear")))
	t.Cleanup(site.Close)
	address := site.URL + "/page.html?" + url.Values{"which": {which}, "settings": {settingsOf(t, s)}}.Encode()

	ctx := browser.Within(t, pageLimit)
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	said, err := chromedp.Run(ctx, chromedp.Evaluate[string]("run()", chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("the page did not reach the end: %v\n%s", err, s.Log())
	}
	var verdicts []verdict
	if err := json.Unmarshal([]byte(said), &verdicts); err != nil {
		t.Fatal(err)
	}
	report(t, verdicts)
}

// Both clients keep the user in localStorage under the same names: after a reload, and when a page changes from one
// client to the other, the user is still there.
func TestSDK_TheUserOutlivesThePage(t *testing.T) {
	t.Parallel()
	needPackage(t, "skygear", "skygear")
	s := startForSkygear(t)
	mux := http.NewServeMux()
	mux.Handle("GET /skygear.min.js", http.FileServer(http.Dir("skygear/node_modules/skygear/dist")))
	mux.HandleFunc("GET /npm", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><script src="/skygear.min.js"></script>`))
	})
	mux.HandleFunc("GET /ours", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><script src="` + s.URL + `/sdk/skygear.js"></script>`))
	})
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	ctx := browser.New(t)
	ask := func(page, expression string) string {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.Navigate(site.URL+page)); err != nil {
			t.Fatal(err)
		}
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](
			"skygear.config({endPoint: '"+s.URL+"', apiKey: '"+s.APIKey+"'}).then(() => "+expression+").then(String)", chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatalf("%s: %s: %v", page, expression, err)
		}
		return got
	}
	const who = "skygear.auth.currentUser && skygear.auth.currentUser.username"
	for _, pages := range [][2]string{{"/npm", "/ours"}, {"/ours", "/npm"}} {
		first, second := pages[0], pages[1]
		name := "ada" + first[1:]
		ask(first, "skygear.auth.signupWithUsername('"+name+"', 'secret')")
		for _, page := range []string{first, second, first} {
			if got := ask(page, "skygear.auth.whoami().then(() => "+who+")"); got != name {
				t.Errorf("on %s after %s the user is %q", page, first, got)
			}
		}
		ask(second, "skygear.auth.logout()")
		if got := ask(first, who); got != "null" {
			t.Errorf("on %s the user is %q after logging out on %s", first, got, second)
		}
	}
	if got := ask("/ours", "Object.keys(localStorage).join()"); got != "" {
		t.Errorf("localStorage keeps %s", got)
	}
}
