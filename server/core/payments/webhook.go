package payments

import (
	"context"
	"errors"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/provider"
)

// Receive takes a notice of the provider: raw body and signature header. When it returns nil the notice
// is stored, once however often it comes, and is looked into in the background. Only a notice that is not
// signed with one of our secrets is an error (payments.signature): the provider repeats what it gets any
// other error for, for days. Anybody may call it.
func (s *Service) Receive(ctx context.Context, body []byte, signature string) error {
	e, err := provider.Verify(body, signature, s.c.WebhookSecrets)
	switch {
	case errors.Is(err, provider.ErrSignature):
		return fault.New(fault.BadRequest, "payments.signature", "the signature does not verify")
	case err != nil:
		s.c.Log.WarnContext(ctx, "a signed notice could not be read")
		return nil
	case e.Live != (s.c.Mode == Live):
		s.c.Log.WarnContext(ctx, "a notice is of another mode than this server", "type", e.Type, "live", e.Live)
		return nil
	}
	s.c.Failpoint("webhook-accepted")
	n, err := s.db.Exec(ctx, insertEvent, e.ID, e.Type, e.APIVersion, e.Object, e.ObjectID, e.ChargeID, e.Created)
	if err != nil {
		return err
	}
	if n > 0 {
		select {
		case s.kick <- struct{}{}:
		default: // the worker has been woken already
		}
	}
	return nil
}

// noticeTries is after how many tries a notice becomes an operator's: some three days. What it is about may be gone at the
// provider, as after a wipe of its test data.
const noticeTries = 480

// readNotices looks into the notices that wait.
func (s *Service) readNotices(ctx context.Context) {
	for ctx.Err() == nil {
		var events []event
		if err := s.db.Select(ctx, &events, claimEvents); err != nil {
			if ctx.Err() == nil {
				s.c.Log.WarnContext(ctx, "notices cannot be read", "error", err)
			}
			return
		}
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			s.readNotice(context.WithoutCancel(ctx), e)
		}
	}
}

func (s *Service) readNotice(ctx context.Context, e event) {
	ctx, cancel := context.WithTimeout(ctx, sendBudget)
	defer cancel()
	s.c.Failpoint("notice-worker")
	if err := s.follow(ctx, e); err != nil {
		s.c.Log.WarnContext(ctx, "a notice is tried again later", "event_id", e.ID, "type", e.Type, "error", err)
		if _, err := s.db.Exec(ctx, failedEvent, e.ID, fault.From(err).Reason); err != nil {
			s.c.Log.WarnContext(ctx, "a notice could not be marked", "event_id", e.ID, "error", err)
		}
		if e.Tries < noticeTries {
			return
		}
		s.report(ctx, "unread_notice", "", e.ObjectID, "the provider sent "+e.Type+", but for three days what it is about could not be read")
	}
	if _, err := s.db.Exec(ctx, doneEvent, e.ID); err != nil {
		s.c.Log.WarnContext(ctx, "a notice will be looked into again", "event_id", e.ID, "error", err)
	}
}

// follow treats a notice as a hint: it reads the object as it is now, and settles what it finds. So
// order, age, repetition and version of notices do not matter.
func (s *Service) follow(ctx context.Context, e event) error {
	switch {
	case e.Object == "checkout.session":
		return s.followAttempt(ctx, selectByProviderID, e.ObjectID)
	case e.Object == "dispute":
		return s.followDispute(ctx, e.ObjectID)
	case e.Object == "refund":
		return s.followCharge(ctx, e.ChargeID)
	case e.Object == "charge":
		return s.followCharge(ctx, e.ObjectID)
	}
	return nil // payment intents: their session or charge tells as well
}

func (s *Service) followAttempt(ctx context.Context, by, id string) error {
	var a attempt
	err := s.db.Get(ctx, &a, by, id)
	switch {
	case fault.Is(err, "pg.no_rows"): // another installation's, or our reply was lost: the reconciler opens it again
		return nil
	case err != nil:
		return err
	case a.State.Final():
		return nil
	}
	_, err = s.refresh(ctx, a)
	return err
}

// followCharge settles the attempt that a charge belongs to, and the refunds of the charge.
func (s *Service) followCharge(ctx context.Context, chargeID string) error {
	if !strings.HasPrefix(chargeID, "ch_") && !strings.HasPrefix(chargeID, "py_") {
		return nil
	}
	facts, err := s.provider.ChargeByID(ctx, chargeID)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "payments.unreachable", "the provider does not answer")
	}
	var a attempt
	err = s.db.Get(ctx, &a, selectByChargeID, chargeID)
	if fault.Is(err, "pg.no_rows") && facts.PaymentID != "" && facts.Install == s.c.Install {
		err = s.db.Get(ctx, &a, selectAttempt, facts.PaymentID)
	}
	switch {
	case fault.Is(err, "pg.no_rows") || fault.Is(err, "pg.bad_value"):
		s.orphan(ctx, facts)
		return nil
	case err != nil:
		return err
	case !a.State.Final():
		return s.followOpen(ctx, a)
	case a.State != provider.Succeeded && facts.Succeeded:
		s.report(ctx, "charge_after_end", a.ID, facts.ID, "the provider took money for an attempt that had ended without")
		return nil
	case a.ChargeID != facts.ID && facts.Succeeded:
		s.report(ctx, "second_charge", a.ID, facts.ID, "the provider took money a second time for one attempt")
		return nil
	case a.ChargeID == facts.ID && (facts.Refunded > 0 || a.Refunded > 0): // a refund that failed is none at the provider any more
		return s.syncRefunds(ctx, a)
	}
	return nil
}

// followOpen settles an attempt whose charge exists. A charge that is being sent right now is left to
// who sends it.
func (s *Service) followOpen(ctx context.Context, a attempt) error {
	if a.Kind == kindSession {
		_, err := s.refresh(ctx, a)
		return err
	}
	var r provider.ChargeRequest
	if err := a.request(&r); err != nil {
		return err
	}
	o := s.lookUp(ctx, a, r)
	if !o.State.Final() {
		return nil // the reconciler has it
	}
	_, err := s.settle(ctx, a, o, 0)
	return err
}

// orphan notes a charge of this installation that no attempt explains.
func (s *Service) orphan(ctx context.Context, f provider.ChargeFacts) {
	if f.Succeeded && f.Install == s.c.Install {
		s.report(ctx, "orphan_charge", "", f.ID, "the provider has a charge that no attempt of ours explains")
	}
}

func (s *Service) followDispute(ctx context.Context, id string) error {
	d, err := s.provider.DisputeByID(ctx, id)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "payments.unreachable", "the provider does not answer")
	}
	var a attempt
	err = s.db.Get(ctx, &a, selectByChargeID, d.ChargeID)
	switch {
	case fault.Is(err, "pg.no_rows"):
		if err := s.followCharge(ctx, d.ChargeID); err != nil { // its charge may be news as well
			return err
		}
		err = s.db.Get(ctx, &a, selectByChargeID, d.ChargeID)
		if fault.Is(err, "pg.no_rows") {
			return nil
		}
	case err != nil:
		return err
	}
	if err != nil {
		return err
	}
	return s.settleDispute(ctx, a, d)
}

// CreateWebhook makes an endpoint at the provider for notices to url, in the version that this server
// reads, and returns its id and its signing secret. The provider shows the secret only this once, and we
// keep it nowhere. Unless again is set, an endpoint that sends there already is payments.webhook_exists.
func (s *Service) CreateWebhook(ctx context.Context, url string, again bool) (id, secret string, err error) {
	known, err := s.provider.Endpoints(ctx)
	for _, e := range known {
		if e.URL == url && e.Enabled && !again {
			return "", "", fault.New(fault.Duplicate, "payments.webhook_exists",
				"%s sends to %s already; use its signing secret, or make another with --again and delete %s afterwards", e.ID, url, e.ID)
		}
	}
	if err == nil {
		id, secret, err = s.provider.CreateWebhook(ctx, url)
	}
	return id, secret, providerFault(err)
}

func providerFault(err error) error {
	switch {
	case errors.Is(err, provider.ErrKeyRefused):
		return fault.Wrap(err, fault.NotConfigured, "payments.key_refused", "the provider refuses the key, or the key lacks the right for this; look at STRIPE_SECRET_KEY and its permissions")
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "payments.unreachable", "the provider does not do it; the log above says what it answers")
	}
	return nil
}

// Account is what the provider tells about our key, for whoever checks an installation.
type Account struct {
	Rights   []provider.Right    // that the key lacks
	Charges  bool                // the account may take money
	Webhooks []provider.Endpoint // all of the account
	Skew     time.Duration       // how far our clock is ahead
}

// Account asks the provider, and changes nothing. Reasons: payments.key_refused, payments.unreachable.
func (s *Service) Account(ctx context.Context) (a Account, err error) {
	if a.Charges, err = s.provider.ChargesEnabled(ctx); err == nil {
		a.Rights, err = s.provider.Rights(ctx)
	}
	a.Skew, _ = s.provider.Skew()
	if err != nil {
		return a, providerFault(err)
	}
	a.Webhooks, err = s.provider.Endpoints(ctx)
	if errors.Is(err, provider.ErrKeyRefused) { // Rights has told
		err = nil
	}
	return a, providerFault(err)
}
