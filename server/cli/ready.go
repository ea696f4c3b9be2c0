package cli

import (
	"context"
	"io"
	"net/http"
	"time"

	"crema/server/base/fault"
)

// firstPage asks for the first page as a browser would, so that "ready" is measured and not claimed.
func firstPage(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.Unavailable, "cli.first_page", "the first page answers %s", resp.Status)
	}
	return nil
}

func (e *environment) sinceStart() string {
	return time.Since(e.started).Round(time.Millisecond).String()
}
