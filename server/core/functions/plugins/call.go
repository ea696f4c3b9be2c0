package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"

	"crema/server/base/fault"
	"crema/server/core/functions/workers"
)

// maxAnswer bounds what a plugin may answer, in bytes.
const maxAnswer = 64 << 20

// request is a call. Wire: skygear §4.2.
type request struct {
	Kind    workers.Kind    `json:"kind"`
	Name    string          `json:"name"`
	Param   json.RawMessage `json:"param,omitempty"`
	Context *about          `json:"context,omitempty"`
}

// about is what a plugin hears of the request that it serves. Roles are not told.
type about struct {
	workers.Caller
	Tag string `json:"request_tag,omitempty"`
}

// tags say which part of the server a call comes from.
var tags = map[workers.Kind]string{workers.Op: "plugin", workers.Handler: "plugin", workers.Hook: "record", workers.Provider: "auth"}

// call asks a plugin, once. It fails with plugins.unreachable, plugins.bad_answer, with what the function raised
// (functions.raised), or with the error of ctx.
func (s *Service) call(ctx context.Context, p *plugin, kind workers.Kind, name string, param json.RawMessage, caller workers.Caller) (json.RawMessage, error) {
	in := request{Kind: kind, Name: name, Param: param}
	if tag := tags[kind]; tag != "" {
		in.Context = &about{Caller: caller}
		if caller.RequestID != "" { // a hook that nobody waits for belongs to no request
			in.Context.Tag = tag
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "plugins.bad_argument", "the arguments cannot be written as JSON")
	}
	answer, err := s.post(ctx, p, body)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		select {
		case p.lost <- struct{}{}:
		default:
		}
		return nil, fault.Wrap(err, fault.Internal, "plugins.unreachable", "the plugin %s did not answer", p.Name)
	}
	return s.result(p, answer)
}

// post sends a body and returns the answer, whose status says nothing on this wire.
func (s *Service) post(ctx context.Context, p *plugin, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
}

// result is what an answer holds.
func (s *Service) result(p *plugin, text []byte) (json.RawMessage, error) {
	if len(text) > maxAnswer {
		return nil, fault.New(fault.Internal, "plugins.bad_answer", "the plugin %s answered more than %d MiB", p.Name, maxAnswer>>20)
	}
	var answer *struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer == nil {
		return nil, fault.Wrap(err, fault.Internal, "plugins.bad_answer", "the plugin %s answered what is no result", p.Name)
	}
	if len(answer.Error) > 0 && string(answer.Error) != "null" {
		return nil, workers.Raised(answer.Error, s.c.DevMode)
	}
	if answer.Result == nil {
		answer.Result = json.RawMessage("null")
	}
	return answer.Result, nil
}

// addressOf is where a URL's host listens.
func addressOf(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fault.Wrap(err, fault.NotConfigured, "plugins.bad_url", "a plugin's PATH must be an address such as http://127.0.0.1:8000")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}
