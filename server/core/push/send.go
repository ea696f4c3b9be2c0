package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"crema/server/base/fault"
	"crema/server/base/jobs"
	"crema/server/base/pg"
)

// Sender hands messages to a push service. It must be safe for concurrent use.
type Sender interface {
	// Send returns nil when the service has taken the message. Its error is a *SendError, or any other
	// when it is worth trying again. No error holds a credential.
	Send(ctx context.Context, m Message) error
}

// Message is what a Sender sends.
type Message struct {
	Token   string          // of the device
	Topic   string          // the device's; may be empty
	Payload json.RawMessage // an object, as the app gave it for this service
}

// Verdict is what a push service says of a message that it did not take.
type Verdict int

// The verdicts.
const (
	Refused Verdict = iota // no other try can help
	Gone                   // the token will never work again; the device is removed
	Later                  // another try may help
)

// SendError says why a message was not taken.
type SendError struct {
	Verdict Verdict
	Since   time.Time     // Gone: since when; zero when that is not known
	Wait    time.Duration // Later: at least this long
	Reason  string        // in the words of the service
}

// Error implements error.
func (e *SendError) Error() string { return "the push service refused a message: " + e.Reason }

// What the jobs of this room are called and how often they are tried: over about ten minutes.
const (
	pushJob   = "push.send"
	pushTries = 10
)

// delivery is the payload of a job.
type delivery struct {
	Device  string       `json:"device"`
	Message Notification `json:"message"`
}

// Notification is what to push: a payload for each service, by the names of the wire. "apns" is Apple's
// payload; "fcm", or "gcm" as it used to be called, is Google's.
type Notification map[string]json.RawMessage

// maxPayload is what Apple and Google take, in bytes.
const maxPayload = 4096

// check refuses what no service could take.
func (n Notification) check() error {
	known := 0
	for _, name := range []string{"apns", "fcm", "gcm"} {
		raw, ok := n[name]
		if !ok {
			continue
		}
		known++
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil || !bytes.HasPrefix(compact.Bytes(), []byte("{")) {
			return badNotification("notification.%s must be an object", name)
		}
		if compact.Len() > maxPayload {
			return badNotification("notification.%s is longer than %d bytes; send less", name, maxPayload)
		}
	}
	if known == 0 {
		return badNotification("notification must be an object with apns, fcm or gcm")
	}
	return nil
}

func badNotification(format string, args ...any) *fault.Error {
	return fault.Argument("push.bad_notification", "notification", format, args...)
}

// payload returns what a type of device gets, nil for nothing.
func (n Notification) payload(deviceType string) json.RawMessage {
	if deviceType == iOS {
		return n["apns"]
	}
	if fcm, ok := n["fcm"]; ok {
		return fcm
	}
	return n["gcm"]
}

// Configured fails with push.not_configured when there is no push service to send through.
func (s *Service) Configured() error {
	if len(s.c.Senders) > 0 {
		return nil
	}
	return fault.New(fault.PushNotConfigured, "push.not_configured",
		"this server has no push service; set APNS_ENABLE or FCM_ENABLE and their keys")
}

// maxReceivers bounds one request.
const maxReceivers = 10000

func checkReceivers(argument string, ids []string, topic string, n Notification) error {
	if len(ids) == 0 || len(ids) > maxReceivers {
		return fault.Argument("push.bad_receivers", argument, "%s must be an array of 1 to %d ids", argument, maxReceivers)
	}
	for _, id := range ids {
		if err := checkText(argument, id, maxID); err != nil {
			return err
		}
	}
	if err := checkText("topic", topic, maxID); err != nil {
		return err
	}
	return n.check()
}

// receiver is a device as far as pushing to it matters.
type receiver struct {
	ID    string
	Owner string
	Type  string
	Topic string
	Ready bool // it has a token
}

// ToUsers pushes to all devices of users, to those with the topic when one is given. Entries fail with
// push.no_user. When it returns, what is to be sent is durable; it goes out later. Reasons:
// push.not_configured, push.bad_receivers, push.bad_notification.
func (s *Service) ToUsers(ctx context.Context, ids []string, topic string, n Notification) ([]Item, error) {
	if err := s.Configured(); err != nil {
		return nil, err
	}
	if err := checkReceivers("user_ids", ids, topic, n); err != nil {
		return nil, err
	}
	var known []string
	if err := s.db.Select(ctx, &known, selectUsers, pg.Array(ids)); err != nil {
		return nil, err
	}
	isKnown := set(known)
	items := make([]Item, len(ids))
	for i, id := range ids {
		if items[i].ID = id; !isKnown[id] {
			items[i].Err = fault.New(fault.NotFound, "push.no_user", "there is no user %.100q", id).With("id", id)
		}
	}
	var devices []receiver
	if err := s.db.Select(ctx, &devices, selectDevicesOf, pg.Array(ids)); err != nil {
		return nil, err
	}
	return items, s.enqueue(ctx, devices, topic, n)
}

// ToDevices is ToUsers for devices by their ids; entries fail with push.no_device. Devices of another
// topic are left out of the result.
func (s *Service) ToDevices(ctx context.Context, ids []string, topic string, n Notification) ([]Item, error) {
	if err := s.Configured(); err != nil {
		return nil, err
	}
	if err := checkReceivers("device_ids", ids, topic, n); err != nil {
		return nil, err
	}
	var devices []receiver
	if err := s.db.Select(ctx, &devices, selectReceivers, pg.Array(ids)); err != nil {
		return nil, err
	}
	byID := map[string]receiver{}
	for _, d := range devices {
		byID[d.ID] = d
	}
	items := []Item{}
	for _, id := range ids {
		switch d, known := byID[id]; {
		case !known:
			items = append(items, Item{ID: id, Err: noDevice(id)})
		case topic == "" || d.Topic == topic:
			items = append(items, Item{ID: id})
		}
	}
	return items, s.enqueue(ctx, devices, topic, n)
}

func set(ids []string) map[string]bool {
	m := make(map[string]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// enqueue writes down what is to be sent. One device gets one message, however often it was named.
func (s *Service) enqueue(ctx context.Context, devices []receiver, topic string, n Notification) error {
	var list []any
	for _, d := range devices {
		if s.reaches(d.Type, n) && d.Ready && (topic == "" || d.Topic == topic) {
			list = append(list, delivery{d.ID, n.only(d.Type)})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		for some := range slices.Chunk(list, jobsAtOnce) {
			if err := s.c.Jobs.Enqueue(ctx, tx, pushJob, some...); err != nil {
				return err
			}
		}
		return nil
	})
}

// jobsAtOnce bounds one statement: each job carries its message.
const jobsAtOnce = 500

// reaches says whether there is something to send to a type of device, and a service for it.
func (s *Service) reaches(deviceType string, n Notification) bool {
	return s.c.Senders[deviceType] != nil && n.payload(deviceType) != nil
}

// only is what a type of device needs of n.
func (n Notification) only(deviceType string) Notification {
	name := "fcm"
	if deviceType == iOS {
		name = "apns"
	}
	return Notification{name: n.payload(deviceType)}
}

// target is a device that a message goes to.
type target struct {
	Type         string
	Token        string
	Topic        string
	RegisteredAt time.Time `db:"registered_at"`
}

// deliver is the job: it sends one message to one device. A device that has gone meanwhile gets nothing.
func (s *Service) deliver(ctx context.Context, payload json.RawMessage) error {
	var d delivery
	if err := json.Unmarshal(payload, &d); err != nil {
		return jobs.Permanent(err)
	}
	var t target
	err := s.db.Get(ctx, &t, selectTarget, d.Device)
	if fault.Is(err, "pg.no_rows") {
		return nil
	}
	if err != nil {
		return err
	}
	sender, message := s.c.Senders[t.Type], d.Message.payload(t.Type)
	switch {
	case message == nil: // the device is of another type now
		return nil
	case sender == nil:
		return fmt.Errorf("no push service is configured for devices of type %s", t.Type)
	}
	err = sender.Send(ctx, Message{Token: t.Token, Topic: t.Topic, Payload: message})
	var refusal *SendError
	if !errors.As(err, &refusal) {
		return err
	}
	return s.heed(ctx, d.Device, t, refusal)
}

// heed does what a push service's verdict asks for.
func (s *Service) heed(ctx context.Context, device string, t target, e *SendError) error {
	switch e.Verdict {
	case Gone:
		if e.Since.IsZero() || t.RegisteredAt.Before(e.Since) {
			s.log.InfoContext(ctx, "a device is gone", "device", device, "reason", e.Reason)
			_, err := s.db.Exec(ctx, deleteGone, device, t.Token, timestamp(t.RegisteredAt))
			return err
		}
		return jobs.Permanent(e)
	case Later:
		return jobs.After(e.Wait, e)
	}
	return jobs.Permanent(e)
}
