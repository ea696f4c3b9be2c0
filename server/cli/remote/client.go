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

// Client calls one app of a server.
type Client struct {
	URL   string // of the server
	App   string
	Token string // of an operator, or the master key
}

// tries bounds how often a request that failed on its way is sent again. All of them may come twice.
const tries = 4

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
	for try := 1; ; try++ {
		res, err := c.send(ctx, method, path, body)
		if err == nil {
			return read(res, out)
		}
		if try == tries || method == http.MethodPost || ctx.Err() != nil {
			return err
		}
		t := time.NewTimer(time.Duration(try) * 500 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

func (c Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	path = strings.ReplaceAll(path, "{app}", url.PathEscape(c.App))
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cli.bad_url", "%s is no URL of a server", c.URL)
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	r.Header.Set("User-Agent", "crema")
	res, err := http.DefaultClient.Do(r)
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
	var said struct{ Detail string }
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil {
		_ = json.Unmarshal(text, &said) // what is no JSON has no detail
	}
	return fault.New(fault.Unavailable, "cli.refused", "%s", cmp.Or(said.Detail, "the server answers "+res.Status))
}

// Follow hands on what a job says until it ends. A job that fails is the fault cli.job_failed.
func (c Client) Follow(ctx context.Context, job string, say io.Writer) error {
	for said := 0; ; {
		var j struct{ State, Log string }
		if err := c.Do(ctx, http.MethodGet, fmt.Sprintf("/v2/apps/{app}/jobs/%s?from=%d", job, said), nil, &j); err != nil {
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
