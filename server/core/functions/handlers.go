package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/lambda"
)

// routes are the HTTP handlers by path and method. Paths begin with "/".
type routes map[string]map[string]*function

// Request and Response are what handlers are asked and answer, under names that doors may use.
type (
	Request  = lambda.Request
	Response = lambda.Response
)

// Handler is an HTTP handler that a request goes to.
type Handler struct {
	lambda.Function
	service  *Service
	function *function
}

// Methods that a handler may take. OPTIONS is the server's, and HEAD is asked as GET.
var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// route compiles the handlers or reports every fault of all of them.
func route(c Config, handlers []lambda.Function) (routes, error) {
	all := routes{}
	var faults []string
	for _, fn := range handlers {
		if fn.Timeout == 0 {
			fn.Timeout = c.Timeout
		}
		if err := all.add(fn, c.Log); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if len(faults) > 0 {
		return nil, fault.New(fault.NotConfigured, "functions.bad_function", "%s", strings.Join(faults, "; "))
	}
	return all, nil
}

// add adds a handler. One declaration may stand for each method, with the same path.
func (r routes) add(fn lambda.Function, log *slog.Logger) error {
	path := HandlerPath(fn.Name)
	if len(path) > maxName || path == "/" || strings.ContainsAny(path, "?#% \x00") {
		return fmt.Errorf("handler %.64q: a path has parts joined by /, at most %d bytes, and no ?, #, %% or blank", fn.Name, maxName)
	}
	f := &function{Function: fn, log: log.With("handler", path).Handler()}
	for _, m := range fn.Methods {
		m = strings.ToUpper(m)
		if !slices.Contains(methods, m) {
			return fmt.Errorf("handler %s: it takes the method %.20q; possible are %s", path, m, strings.Join(methods, ", "))
		}
		if r[path][m] != nil {
			return fmt.Errorf("handler %s is declared twice for %s", path, m)
		}
		if r[path] == nil {
			r[path] = map[string]*function{}
		}
		r[path][m] = f
	}
	return nil
}

// HandlerPath is the path of a handler's name. Wire: ":" counts as "/", and "/" is put in front.
func HandlerPath(name string) string {
	return "/" + strings.TrimPrefix(strings.ReplaceAll(name, ":", "/"), "/")
}

// Handler finds the handler of a path: the one of just this path, else the one of the longest path above it
// that ends with "/". ok is false when no handler has to do with the path. Otherwise redirect is where the
// client should go instead, or err says that the method is not taken (functions.no_method).
func (s *Service) Handler(method, path string) (h Handler, redirect string, ok bool, err error) {
	routes := s.live.Load().routes
	if len(routes) == 0 {
		return Handler{}, "", false, nil
	}
	byMethod := routes[path]
	for at := path; byMethod == nil && at != ""; {
		if byMethod = routes[at+"/"]; byMethod != nil && at == path {
			return Handler{}, path + "/", true, nil
		}
		at = at[:strings.LastIndexByte(at, '/')]
	}
	if byMethod == nil {
		return Handler{}, "", false, nil
	}
	f := byMethod[method]
	if f == nil && method == "HEAD" { // the same without a body
		f = byMethod["GET"]
	}
	if f == nil {
		return Handler{}, "", true, fault.New(fault.UnknownOperation, "functions.no_method", "%s takes no %.20s", path, method)
	}
	return Handler{Function: f.Function, service: s, function: f}, "", true, nil
}

// Serve runs the handler for the actor of ctx, on this goroutine; respond gets the answer, once, as with
// Service.Serve.
func (h Handler) Serve(ctx context.Context, r Request, respond func(Response, error)) {
	h, err := h.enter(r)
	if err != nil {
		respond(Response{}, err)
		return
	}
	if err := h.function.refuse(acl.FromContext(ctx)); err != nil {
		h.function.set.calls.leave()
		respond(Response{}, err)
		return
	}
	if r.Body == nil {
		r.Body = []byte{}
	}
	if r.Method == "HEAD" { // functions know what they were declared for
		r.Method = "GET"
	}
	args, err := json.Marshal(r)
	if err != nil {
		h.function.set.calls.leave()
		respond(Response{}, fault.Wrap(err, fault.BadRequest, "functions.bad_request", "the request cannot be passed on"))
		return
	}
	h.service.serve(ctx, h.function, args, func(result json.RawMessage, err error) {
		var answer Response
		if err == nil {
			answer, err = answered(result)
		}
		respond(answer, err)
	})
}

// answered is the answer that a handler gave. Without a status it is 200; what no response can have is not made a success.
func answered(result json.RawMessage) (answer Response, err error) {
	if err := json.Unmarshal(result, &answer); err != nil {
		return answer, fault.Wrap(err, fault.Internal, "functions.bad_response", "the handler's answer is malformed")
	}
	if answer.Status == 0 {
		answer.Status = 200
	}
	if answer.Status < 200 || answer.Status > 999 {
		return answer, fault.New(fault.Internal, "functions.bad_response", "the handler answered with status %d; possible are 200 to 999", answer.Status)
	}
	return answer, nil
}

// enter counts the request in. When other functions have become live since the handler was found, it is theirs.
func (h Handler) enter(r Request) (Handler, error) {
	for !h.function.set.calls.enter() {
		if h.service.over() {
			return h, stopped()
		}
		next, redirect, ok, err := h.service.Handler(r.Method, r.Path)
		if err == nil && (!ok || redirect != "") {
			err = fault.New(fault.UnknownOperation, "functions.unknown", "there is no handler of %s any more", r.Path)
		}
		if err != nil {
			return h, err
		}
		h = next
	}
	return h, nil
}
