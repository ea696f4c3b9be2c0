package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox/api"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/render"
	"crema/server/core/payments/sandbox/wire"
)

const (
	deliverTimeout = 10 * time.Second
	// leaseTime is longer than a delivery can take, so that only the deliveries of a dead process are
	// taken by another.
	leaseTime = 3 * deliverTimeout
	batch     = 8
	// reorderWait is how long a delivery waits for later ones to overtake it.
	reorderWait = time.Second
	otherAPI    = "2026-10-28.endive"
)

// webhookSecret derives the signing secret of an endpoint, so that no table holds it.
func (s *Sandbox) webhookSecret(id string) string {
	if s.c.WebhookSecret != "" && strings.HasPrefix(id, api.OwnEndpoint) {
		return s.c.WebhookSecret
	}
	mac := hmac.New(sha256.New, []byte(s.c.SecretKey))
	mac.Write([]byte("webhook " + id))
	return "whsec_" + hex.EncodeToString(mac.Sum(nil))[:32]
}

// Endpoint makes sure that events of all types go to url, and returns the secret that signs them. It may
// be called again at every start: the secret stays the same.
func (s *Sandbox) Endpoint(ctx context.Context, url string) (secret string, err error) {
	err = s.call(ctx, func(ctx context.Context, c *api.Call) error {
		e, err := api.EnsureEndpoint(ctx, c, url)
		secret = s.webhookSecret(e.ID)
		return err
	})
	return secret, err
}

// nudge wakes the courier. It never waits.
func (s *Sandbox) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// courier delivers what is due whenever something may be, and every second looks at the clock.
func (s *Sandbox) courier() {
	client := &http.Client{
		Timeout:       deliverTimeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: batch, IdleConnTimeout: time.Minute, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := s.deliverAll(client); err != nil && s.life.Err() == nil {
			s.c.Log.Warn("the sandbox cannot deliver webhooks", "err", err)
		}
		select {
		case <-s.life.Done():
			return
		case <-s.wake:
		case <-tick.C:
			if err := s.settle(s.life); err != nil && s.life.Err() == nil {
				s.c.Log.Warn("the sandbox cannot settle what is due", "err", err)
			}
		}
	}
}

// settle ends what has expired by the sandbox's clock.
func (s *Sandbox) settle(ctx context.Context) error {
	return s.call(ctx, api.Settle)
}

// deliverAll takes batches until nothing is due.
func (s *Sandbox) deliverAll(client *http.Client) error {
	for s.life.Err() == nil {
		due, err := s.ledger.Lease(s.life, batch, leaseTime)
		if err != nil || len(due) == 0 {
			return err
		}
		var wg sync.WaitGroup
		for _, d := range due {
			wg.Go(func() {
				if err := s.deliverOne(client, d); err != nil && s.life.Err() == nil {
					s.c.Log.Warn("a webhook of the sandbox is stuck", "event", d.EventID, "err", err)
				}
			})
		}
		wg.Wait()
	}
	return nil
}

// deliverOne tries once. Its own faults leave the delivery to the end of the lease.
func (s *Sandbox) deliverOne(client *http.Client, d ledger.Delivery) error {
	event, endpoint, err := s.read(d)
	if fault.Is(err, "pg.no_rows") {
		return s.ledger.EndDelivery(s.life, d.ID, false, 0)
	}
	if err != nil {
		return err
	}
	bad := s.faults.ofWebhook(event.Type, d.ID)
	switch {
	case bad.Webhook == hookDrop:
		return s.ledger.EndDelivery(s.life, d.ID, false, 0)
	case bad.wait > 0:
		return s.ledger.RetryDelivery(s.life, d.ID, d.Tries-1, d.Status, bad.wait)
	}
	status := s.post(client, event, endpoint, bad.Webhook)
	if bad.Webhook == hookDuplicate {
		status = s.post(client, event, endpoint, bad.Webhook)
	}
	switch {
	case s.life.Err() != nil: // Stop cut it short: nobody knows, so it is sent again
		return s.ledger.RetryDelivery(context.WithoutCancel(s.life), d.ID, d.Tries-1, d.Status, 0)
	case status >= 200 && status < 300:
		return s.ledger.EndDelivery(s.life, d.ID, true, status)
	case d.Tries > len(s.c.Retries):
		return s.ledger.EndDelivery(s.life, d.ID, false, status)
	}
	return s.ledger.RetryDelivery(s.life, d.ID, d.Tries, status, s.c.Retries[d.Tries-1])
}

// sentEvent is an event on its way.
type sentEvent struct {
	ID, Type string
	raw      json.RawMessage
}

func (s *Sandbox) read(d ledger.Delivery) (event sentEvent, endpoint api.Endpoint, err error) {
	err = s.ledger.Tx(s.life, func(ctx context.Context, tx *ledger.Tx) error {
		o, err := tx.Find(ctx, "event", d.EventID)
		if err != nil {
			return err
		}
		e, err := tx.Find(ctx, "webhook_endpoint", d.EndpointID)
		if err != nil {
			return err
		}
		event.raw = o.Data
		return errors.Join(json.Unmarshal(o.Data, &event), json.Unmarshal(e.Data, &endpoint))
	})
	return event, endpoint, err
}

// post sends the event once and returns the status of the answer; 0 when there was none.
func (s *Sandbox) post(client *http.Client, event sentEvent, to api.Endpoint, bad string) int {
	r, err := s.letter(event, to, bad)
	if err != nil {
		s.c.Log.Warn("a webhook of the sandbox cannot be written", "event", event.ID, "err", err)
		return 0
	}
	res, err := client.Do(r)
	if err != nil {
		s.c.Log.Debug("sandbox webhook", "event", event.ID, "type", event.Type, "err", err)
		return 0
	}
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection is used again
	_ = res.Body.Close()
	s.c.Log.Debug("sandbox webhook", "event", event.ID, "type", event.Type, "status", res.StatusCode)
	return res.StatusCode
}

func (s *Sandbox) letter(event sentEvent, to api.Endpoint, bad string) (*http.Request, error) {
	body, err := s.payload(event, to, bad)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(s.life, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "sandbox.endpoint", "the URL of the webhook endpoint cannot be used")
	}
	secret := s.webhookSecret(to.ID)
	if bad == hookSignature {
		secret = "whsec_of_somebody_else"
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	r.Header.Set("Stripe-Signature", Sign(body, secret, time.Now()))
	return r, nil
}

// payload is the event in the shape of the endpoint's version.
func (s *Sandbox) payload(event sentEvent, to api.Endpoint, bad string) ([]byte, error) {
	version := api.Version
	if to.APIVersion != nil {
		version = *to.APIVersion
	}
	if bad == hookVersion {
		version = otherAPI
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(event.raw, &fields); err != nil {
		return nil, fault.From(err)
	}
	fields["api_version"] = json.RawMessage(strconv.Quote(version))
	return (&render.Caller{Version: version}).JSON(s.life, fields)
}

// Sign returns the header Stripe-Signature of a payload.
func Sign(payload []byte, secret string, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(payload)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// call runs what no request to the API asked for, in a transaction. As there, an error with Keep commits.
func (s *Sandbox) call(ctx context.Context, do func(context.Context, *api.Call) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runLimit)
	defer cancel()
	var kept *wire.Error
	err := s.ledger.Tx(ctx, func(ctx context.Context, tx *ledger.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		err = do(ctx, api.ByClock(tx, now))
		if kept = nil; errors.As(err, &kept) && kept.Keep {
			return nil
		}
		kept = nil
		return err
	})
	s.nudge()
	if err == nil && kept != nil {
		return kept
	}
	return err
}
