package push

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// The types of device that the wire knows.
const (
	iOS     = "ios"
	android = "android"
	baidu   = "baidu-android"
)

var deviceTypes = []string{iOS, android, baidu}

// Registration is what a device says of itself.
type Registration struct {
	ID    string // "" for a device that has none yet
	Type  string // ios, android or baidu-android
	Token string // of the push service; "" for a device that only listens on the websocket
	Topic string // the app that the token is for; may be empty
}

// Register stores a device of the acting user and returns its id. A token belongs to one device: others
// with the same one are removed, with their subscriptions. Reasons: push.bad_type, push.bad_text, and
// push.no_device for an id that is unknown or somebody else's; clients then register without an id.
func (s *Service) Register(ctx context.Context, r Registration) (string, error) {
	actor, err := user(ctx)
	if err != nil {
		return "", err
	}
	if err := r.check(); err != nil {
		return "", err
	}
	id := r.ID
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if r.Token != "" {
			if err := makeRoom(ctx, tx, r.ID, r.Token); err != nil {
				return err
			}
		}
		now := timestamp(s.c.Now())
		if r.ID != "" {
			n, err := tx.Exec(ctx, updateDevice, r.ID, actor.UserID, r.Type, r.Token, r.Topic, now)
			if err == nil && n == 0 {
				err = noDevice(r.ID)
			}
			return err
		}
		id = uuid.NewString()
		_, err := tx.Exec(ctx, insertDevice, id, actor.UserID, r.Type, r.Token, r.Topic, now)
		return err
	})
	return id, err
}

func (r Registration) check() error {
	if !slices.Contains(deviceTypes, r.Type) {
		return fault.Argument("push.bad_type", "type", "type must be one of %s", strings.Join(deviceTypes, ", "))
	}
	for _, t := range [...]struct {
		argument, text string
		most           int
	}{{"id", r.ID, maxID}, {"device_token", r.Token, maxToken}, {"topic", r.Topic, maxID}} {
		if err := checkText(t.argument, t.text, t.most); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom removes the other devices with a token. Two registrations with the same one wait for each
// other, so that the later sees the device of the earlier.
func makeRoom(ctx context.Context, tx *pg.Tx, id, token string) error {
	if _, err := tx.Exec(ctx, lockToken, token); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, deleteOtherDevices, token, id)
	return err
}

// Unregister removes a device of the acting user, with its subscriptions. Reasons: push.no_id,
// push.no_device.
func (s *Service) Unregister(ctx context.Context, id string) error {
	actor, err := user(ctx)
	if err != nil {
		return err
	}
	if id == "" {
		return fault.Argument("push.no_id", "id", "id must be the id of a device")
	}
	if err := checkText("id", id, maxID); err != nil {
		return err
	}
	n, err := s.db.Exec(ctx, deleteDevice, id, actor.UserID, actor.Master())
	if err == nil && n == 0 {
		err = noDevice(id)
	}
	return err
}
