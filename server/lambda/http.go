package lambda

// Request is what an HTTP handler is asked. Its JSON is the wire's of Skygear's plugins.
type Request struct {
	Method string              `json:"method"`
	Path   string              `json:"path"`
	Query  string              `json:"query_string,omitempty"` // as it came, without "?"
	Header map[string][]string `json:"header"`
	Body   []byte              `json:"body"` // never nil: "" in JSON, in base64 otherwise
}

// Response is what it answers.
type Response struct {
	Status int                 `json:"status"` // 0: 200
	Header map[string][]string `json:"header"`
	Body   []byte              `json:"body"`
}
