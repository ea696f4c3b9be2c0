package remote

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"crema/server/base/fault"
)

// Client calls one app of a server. New makes one.
type Client struct {
	URL   string // of the server
	App   string
	Token string // of an operator, or the master key
	http  *http.Client
}

// New returns a client.
func New(url, app, token string) Client { return Client{url, app, token, newHTTP()} }

const (
	tries     = 4               // how often what failed on its way is sent, where it may come twice
	patience  = 20              // the same for a job that is under way: its server may just be starting anew
	maxPause  = 3 * time.Second // between two tries
	answerFor = 2 * time.Minute // from the end of a request to the begin of its answer
)

// Do sends in as JSON, unless it is nil or a []byte, and reads the answer into out, unless that is nil. An error of
// the server is a fault with its message.
func (c Client) Do(ctx context.Context, method, path string, in, out any) error {
	body, raw := in.([]byte)
	if !raw && in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return c.do(ctx, tries, method, path, body, out)
}

func (c Client) do(ctx context.Context, tries int, method, path string, body []byte, out any) error {
	for try := 1; ; try++ {
		again, err := c.once(ctx, method, path, body, out)
		if !again || try >= tries || method == http.MethodPost || ctx.Err() != nil {
			return interrupted(ctx, err)
		}
		t := time.NewTimer(min(time.Duration(try)*500*time.Millisecond, maxPause))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// once sends a request and says whether the same may go well later: the answer did not come whole, or the server is not there yet.
func (c Client) once(ctx context.Context, method, path string, body []byte, out any) (again bool, err error) {
	res, err := c.send(ctx, method, path, body)
	if err != nil {
		return !fault.Is(err, "cli.bad_url"), err
	}
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	err = read(res, out)
	return again || fault.Is(err, "cli.bad_answer"), err
}

// interrupted is err, unless the user has ended the command.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "cli.interrupted", "interrupted")
}

// newHTTP follows no redirects: they would turn what changes something into a question, and show the token to others.
func newHTTP() *http.Client {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultClient
	}
	transport = transport.Clone()
	transport.ResponseHeaderTimeout = answerFor
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (c Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	path = strings.ReplaceAll(path, "{app}", url.PathEscape(c.App))
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil || r.URL.Host == "" || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return nil, fault.Wrap(err, fault.Invalid, "cli.bad_url", "%q is no URL of a server, such as https://shop.example.com", c.URL)
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	r.Header.Set("User-Agent", "crema")
	res, err := c.http.Do(r)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "cli.no_server", "the server at %s does not answer (%v); say which one with --server or CREMA_SERVER", c.URL, plain(err))
	}
	return res, nil
}

// plain is what went wrong without the URL.
func plain(err error) error {
	if e, ok := err.(*url.Error); ok { //nolint:errorlint // it is what Do returns
		return e.Err
	}
	return err
}

func read(res *http.Response, out any) error {
	defer func() { _ = res.Body.Close() }()
	if err := refused(res); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fault.Wrap(err, fault.Unavailable, "cli.bad_answer", "the server's answer is not understood; is it a Crema?")
	}
	return nil
}

func refused(res *http.Response) error {
	if res.StatusCode < 300 {
		return nil
	}
	if to := res.Header.Get("Location"); res.StatusCode < 400 && to != "" {
		return fault.New(fault.Unavailable, "cli.moved", "the server is elsewhere, at %s; say so with --server or CREMA_SERVER", to)
	}
	var said struct{ Detail string }
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil {
		_ = json.Unmarshal(text, &said) // what is no JSON has no detail
	}
	return fault.New(fault.Unavailable, "cli.refused", "%s", cmp.Or(said.Detail, "the server answers "+res.Status))
}

// OnlyApp is the name of the app that the server has. Reason cli.which_app, when there is more than one.
func (c Client) OnlyApp(ctx context.Context) (string, error) {
	var apps struct{ Results []struct{ ID string } }
	if err := c.Do(ctx, http.MethodGet, "/v2/apps/", nil, &apps); err != nil {
		return "", err
	}
	if len(apps.Results) != 1 {
		return "", fault.New(fault.Invalid, "cli.which_app", "the server at %s has %d apps; say which one with --app", c.URL, len(apps.Results))
	}
	return apps.Results[0].ID, nil
}

// Follow hands on what a job says until it ends. A job that fails is the fault cli.job_failed.
func (c Client) Follow(ctx context.Context, job string, say io.Writer) error {
	for said := 0; ; {
		var j struct{ State, Log string }
		err := c.do(ctx, patience, http.MethodGet, fmt.Sprintf("/v2/apps/{app}/jobs/%s?from=%d", job, said), nil, &j)
		if fault.Is(err, "cli.interrupted") {
			return fault.Wrap(err, fault.Unavailable, "cli.interrupted", "interrupted; the server goes on, crema versions shows how it ends")
		}
		if err != nil {
			return err
		}
		said += len(j.Log)
		if _, err := io.WriteString(say, j.Log); err != nil {
			return err
		}
		switch j.State {
		case "success":
			return nil
		case "failed":
			return fault.New(fault.Unavailable, "cli.job_failed", "it failed; the live version is as it was")
		}
	}
}

// Logs copies what functions have logged, and with follow what they will.
func (c Client) Logs(ctx context.Context, tail int, follow bool, to io.Writer) error {
	path := fmt.Sprintf("/v2/apps/{app}/logs?tail=%d", tail)
	if follow {
		path += "&follow=1"
	}
	res, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if err := refused(res); err != nil {
		return err
	}
	_, err = io.Copy(to, res.Body)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
