package stripejudge

import (
	"bytes"
	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"
	_ "stripemock148/spec" // keeps the older version, whose spec is read as a file, in go.mod
)

// newer is the reason of what 2023-10-16 has already and 2022-11-15 not yet.
const newer = "newer than 2022-11-15"

// allowed are the differences that are right, by version of the spec ("" is both).
var allowed = []struct{ version, finding, reason string }{
	{"", "charge.source: unknown property", "Stripe returns it for charges on tokens; the specs leave it out"},
	{"2026", "charge.invoice: unknown property", "2023-10-16 has it; it was removed later"},
	{"", "payment_intent.source: unknown property", "Stripe returns it, as null; the specs leave it out"},
	{"2026", "payment_intent.invoice: unknown property", "2023-10-16 has it; it was removed later"},
	{"2026", "checkout.session.shipping_details: unknown property", "2023-10-16 has it; it was moved later"},
	{"2022", "checkout.session.cancel_url: null", "it may be left out since 2023"},
	{"2022", "checkout.session.success_url: null", "embedded pages, which are newer, have a return_url"},
	{"2022", "checkout.session.client_secret: unknown property", newer},
	{"2022", "checkout.session.currency_conversion: unknown property", newer},
	{"2022", "checkout.session.custom_fields: unknown property", newer},
	{"2022", "checkout.session.payment_method_configuration_details: unknown property", newer},
	{"2022", "checkout.session.redirect_on_completion: unknown property", newer},
	{"2022", "checkout.session.return_url: unknown property", newer},
	{"2022", "checkout.session.ui_mode: unknown property", newer},
	{"2022", "payment_flows_automatic_payment_methods_payment_intent.allow_redirects: unknown property", newer},
	{"2022", "payment_intent.payment_method_configuration_details: unknown property", newer},
	{"2022", "payment_pages_checkout_session_automatic_tax.liability: unknown property", newer},
	{"2022", "payment_pages_checkout_session_custom_text.after_submit: unknown property", newer},
	{"2022", "payment_pages_checkout_session_custom_text.terms_of_service_acceptance: unknown property", newer},
	{"2022", "payment_pages_checkout_session_invoice_settings.issuer: unknown property", newer},
	{"2026", "balance_transaction.balance_type: missing", "newer than 2023-10-16"},
	{"2026", "dispute.enhanced_eligibility_types: missing", "newer than 2023-10-16"},
	{"2026", "dispute_evidence.enhanced_evidence: missing", "newer than 2023-10-16"},
	{"2026", "dispute_evidence_details.enhanced_eligibility: missing", "newer than 2023-10-16"},
}

var specs = sync.OnceValues(func() ([]*Spec, error) {
	// The older version has its spec beside its code, not in a package.
	list := exec.Command("go", "mod", "download", "-json", "stripemock148")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	old, err := os.ReadFile(filepath.Join(module.Dir, "openapi", "spec3.json"))
	if err != nil {
		return nil, err
	}
	var both []*Spec
	for _, raw := range [][]byte{old, embedded.OpenAPISpec} {
		s, err := Parse(raw)
		if err != nil {
			return nil, err
		}
		both = append(both, s)
	}
	return both, nil
})

// judge stands in front of a sandbox and checks everything that passes.
type judge struct {
	t       *testing.T
	inner   http.Handler
	specs   []*Spec
	mock    *server.StubServer // nil: requests are not judged
	mu      sync.Mutex
	answers int
	seen    map[string]bool
	used    map[int]bool // entries of allowed
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	s, err := specs()
	if err != nil {
		t.Fatal(err)
	}
	return &judge{t: t, specs: s, seen: map[string]bool{}, used: map[int]bool{}}
}

func (j *judge) wrap(inner http.Handler) http.Handler {
	j.inner = inner
	return j
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		j.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	rec := httptest.NewRecorder()
	j.inner.ServeHTTP(rec, r)
	j.answer(r, rec)
	if j.mock != nil && rec.Code == http.StatusOK {
		j.request(r, body)
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	if _, err := w.Write(rec.Body.Bytes()); err != nil {
		j.t.Error(err)
	}
}

func (j *judge) answer(r *http.Request, rec *httptest.ResponseRecorder) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.answers++
	method, path := r.Method, r.URL.Path
	if strings.HasPrefix(path, "/v1/payment_pages/") { // not in the specs: it answers with the session
		method, path = http.MethodGet, "/v1/checkout/sessions/cs_1"
	}
	for _, s := range j.specs {
		for _, finding := range s.Check(method, path, rec.Code, rec.Body.Bytes()) {
			i := slices.IndexFunc(allowed, func(a struct{ version, finding, reason string }) bool {
				return a.finding == finding && strings.HasPrefix(s.Info.Version, a.version)
			})
			j.used[i] = true
			if key := s.Info.Version + finding; i < 0 && !j.seen[key] {
				j.seen[key] = true
				j.t.Errorf("%s: %s %s: %s", s.Info.Version, r.Method, r.URL.Path, finding)
			}
		}
	}
}

// request asks stripe-mock whether Stripe knows everything that was sent.
func (j *judge) request(r *http.Request, body []byte) {
	// The mock knows the newest words for ui_mode only; stripe-go v76 sends the old ones, rightly.
	for _, old := range []string{"hosted", "embedded"} {
		body = bytes.Replace(append(body, '&'), []byte("ui_mode="+old+"&"), []byte("ui_mode="+old+"_page&"), 1)
	}
	again := httptest.NewRequest(r.Method, r.URL.RequestURI(), bytes.NewReader(body))
	again.Header = r.Header.Clone()
	rec := httptest.NewRecorder()
	j.mock.HandleRequest(rec, again)
	if rec.Code == http.StatusBadRequest {
		j.t.Errorf("stripe-mock refuses %s %s %s: %s", r.Method, r.URL, body, rec.Body)
	}
}

func TestAnswers_PassBothSpecs(t *testing.T) {
	j := newJudge(t)
	s := sandboxtest.Start(t, testkit.DB(t), j.wrap)
	sandboxtest.Outcomes(t, s)
	sandboxtest.Refusals(t, s)
	sandboxtest.Scenario(t, s)
	sandboxtest.Intents(t, s)
	sandboxtest.Sessions(t, s)
	endpoints(t, s)
	everyEvent(t, s)
	oldShapes(t, s)
	expansions(t, s)
	for i, a := range allowed {
		if !j.used[i] {
			t.Errorf("nothing needs this entry of the allow-list any more: %q", a.finding)
		}
	}
	t.Logf("%d answers checked against %s and %s", j.answers, j.specs[0].Info.Version, j.specs[1].Info.Version)
}

// everyEvent turns all pages, so that every snapshot is checked.
func everyEvent(t *testing.T, s *sandboxtest.Server) {
	t.Helper()
	for after := ""; ; {
		page := s.Do(t, http.MethodGet, "/v1/events", "limit=100"+after).OK(t)
		data, _ := page.At("data").([]any)
		if page.At("has_more") != true || len(data) == 0 {
			return
		}
		last, _ := data[len(data)-1].(map[string]any)
		id, _ := last["id"].(string)
		after = "&starting_after=" + id
		s.Do(t, http.MethodGet, "/v1/events/"+id, "").OK(t)
	}
}

// endpoints of webhooks come and go.
func endpoints(t *testing.T, s *sandboxtest.Server) {
	t.Helper()
	const path = "/v1/webhook_endpoints"
	e := s.Do(t, http.MethodPost, path, "url=https://shop.example/hook&enabled_events[]=*&api_version=2023-10-16&description=shop&metadata[a]=b").OK(t)
	s.Do(t, http.MethodGet, path, "").OK(t)
	s.Do(t, http.MethodGet, path+"/"+e.Text("id"), "").OK(t)
	s.Do(t, http.MethodPost, path+"/"+e.Text("id"), "disabled=true").OK(t)
	s.Do(t, http.MethodDelete, path+"/"+e.Text("id"), "").OK(t)
}

// oldShapes asks as clients without a version do.
func oldShapes(t *testing.T, s *sandboxtest.Server) {
	t.Helper()
	ch := s.Charge(t, "tok_visa", "", "Stripe-Version", "").OK(t)
	s.Do(t, http.MethodPost, "/v1/charges/"+ch.Text("id")+"/refunds", "amount=100", "Stripe-Version", "").OK(t)
	s.Do(t, http.MethodPost, "/v1/charges/"+ch.Text("id")+"/refund", "amount=100", "Stripe-Version", "").OK(t)
	s.Do(t, http.MethodGet, "/v1/charges/"+ch.Text("id")+"/refunds", "", "Stripe-Version", "").OK(t)
	s.Do(t, http.MethodGet, "/v1/charges", "", "Stripe-Version", "").OK(t)
	u := s.Do(t, http.MethodPost, "/v1/customers", "source=tok_visa", "Stripe-Version", "").OK(t)
	s.Do(t, http.MethodGet, "/v1/customers/"+u.Text("id"), "", "Stripe-Version", "").OK(t)
	s.Do(t, http.MethodGet, "/v1/customers", "", "Stripe-Version", "").OK(t)
}

func expansions(t *testing.T, s *sandboxtest.Server) {
	t.Helper()
	u := s.Do(t, http.MethodPost, "/v1/customers", "source=tok_visa&expand[]=default_source&expand[]=sources").OK(t)
	ch := s.Do(t, http.MethodPost, "/v1/charges", "amount=900&currency=usd&customer="+u.Text("id")+
		"&expand[]=customer.default_source&expand[]=balance_transaction.source&expand[]=refunds&expand[]=payment_intent").OK(t)
	s.Do(t, http.MethodPost, "/v1/refunds", "charge="+ch.Text("id")+"&expand[]=charge.customer&expand[]=balance_transaction").OK(t)
	s.Do(t, http.MethodGet, "/v1/charges", "expand[]=data.customer&expand[]=data.refunds.data.balance_transaction").OK(t)
	s.Do(t, http.MethodGet, "/v1/balance_transactions", "type=refund&expand[]=data.source").OK(t)
}

func TestRequests_OfOurClientAreKnownToStripe(t *testing.T) {
	j := newJudge(t)
	spec, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		t.Fatal(err)
	}
	if j.mock, err = server.NewStubServer(fixtures, spec, false, false); err != nil {
		t.Fatal(err)
	}
	s := sandboxtest.Start(t, testkit.DB(t), j.wrap)
	sandboxtest.Scenario(t, s)
	sandboxtest.Intents(t, s)
	sandboxtest.Sessions(t, s)
}

func TestCheck_FindsDrift(t *testing.T) {
	s, err := specs()
	if err != nil {
		t.Fatal(err)
	}
	const refund = `{"id":"re_1","object":"refund","amount":1,"created":1,"currency":"usd"%s}`
	for more, want := range map[string]string{
		``:                    "",
		`,"colour":"red"`:     "refund.colour: unknown property",
		`,"status":7`:         "refund.status: is integer, want string",
		`,"amount":1.5`:       "refund.amount: is number, want integer",
		`,"amount":null`:      "refund.amount: null",
		`,"object":"charge"`:  "refund.object: charge is not one of [refund]",
		`,"metadata":{"a":1}`: "refund.metadata.a: is integer, want string",
	} {
		got := strings.Join(s[1].Check("GET", "/v1/refunds/re_1", 200, []byte(strings.Replace(refund, "%s", more, 1))), "; ")
		if got != want {
			t.Errorf("%s: got %q, want %q", more, got, want)
		}
	}
}
