package skygear

import (
	"context"
	"encoding/json"
	"net/http"

	"crema/server/base/fault"
	"crema/server/core/push"
	"crema/server/core/records"
	"crema/server/web"
)

// pusher is K D N: the client key may push, where there is a push service.
var pusher = chain{accessKey, database, pushable}

func pushable(_ context.Context, d *Door, _ *call) error { return d.c.Push.Configured() }

func (d *Door) pushActions() map[string]action {
	return map[string]action{
		"device:register":        {loggedIn, d.registerDevice},
		"device:unregister":      {loggedIn, d.unregisterDevice},
		"subscription:save":      {loggedIn, d.subscribe},
		"subscription:fetch":     {loggedIn, d.subscriptions},
		"subscription:fetch_all": {loggedIn, d.allSubscriptions},
		"subscription:delete":    {loggedIn, d.unsubscribe},
		"push:user":              {pusher, d.pushToUsers},
		"push:device":            {pusher, d.pushToDevices},
	}
}

// param reads a parameter into v, which keeps its value when the parameter is missing or null.
func param(p records.Params, name string, v any) error {
	raw := p[name]
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fault.New(fault.BadRequest, "web.bad_parameter", "the parameter %s is not of the type that this action takes", name)
	}
	return nil
}

func (d *Door) registerDevice(ctx context.Context, w http.ResponseWriter, c call) error {
	var r push.Registration
	for name, v := range map[string]*string{"id": &r.ID, "type": &r.Type, "device_token": &r.Token, "topic": &r.Topic} {
		if err := param(c.params, name, v); err != nil {
			return err
		}
	}
	id, err := d.c.Push.Register(ctx, r)
	if err != nil {
		return err
	}
	return writeID(w, id)
}

func (d *Door) unregisterDevice(ctx context.Context, w http.ResponseWriter, c call) error {
	var id string
	if err := param(c.params, "id", &id); err != nil {
		return err
	}
	if err := d.c.Push.Unregister(ctx, id); err != nil {
		return err
	}
	return writeID(w, id)
}

func writeID(w http.ResponseWriter, id string) error {
	return writeResult(w, map[string]string{"id": id})
}

func target(p records.Params) (push.Target, error) {
	t := push.Target{Database: records.Text(p, "database_id")}
	if err := param(p, "device_id", &t.DeviceID); err != nil {
		return t, err
	}
	return t, param(p, "subscription_ids", &t.IDs)
}

func (d *Door) subscribe(ctx context.Context, w http.ResponseWriter, c call) error {
	t, err := target(c.params)
	if err != nil {
		return err
	}
	var wanted []push.Subscription
	if err := param(c.params, "subscriptions", &wanted); err != nil {
		return err
	}
	items, err := d.c.Push.Subscribe(ctx, t, wanted)
	return writeItems(w, items, err)
}

func (d *Door) subscriptions(ctx context.Context, w http.ResponseWriter, c call) error {
	t, err := target(c.params)
	if err != nil {
		return err
	}
	items, err := d.c.Push.Subscriptions(ctx, t)
	return writeItems(w, items, err)
}

// allSubscriptions leaves the result out when there are none. Wire: skygear §2.8.
func (d *Door) allSubscriptions(ctx context.Context, w http.ResponseWriter, c call) error {
	t, err := target(c.params)
	if err != nil {
		return err
	}
	found, err := d.c.Push.AllSubscriptions(ctx, t)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		web.WriteRaw(w, http.StatusOK, []byte("{}\n"))
		return nil
	}
	return writeResult(w, found)
}

func (d *Door) unsubscribe(ctx context.Context, w http.ResponseWriter, c call) error {
	t, err := target(c.params)
	if err != nil {
		return err
	}
	items, err := d.c.Push.Unsubscribe(ctx, t)
	return writeItems(w, items, err)
}

func writeItems(w http.ResponseWriter, items []push.Item, err error) error {
	if err != nil {
		return err
	}
	list := make([]any, len(items))
	for i, item := range items {
		switch {
		case item.Err != nil:
			list[i] = failed(item.ID, item.Err)
		case item.Subscription != nil:
			list[i] = item.Subscription
		default:
			list[i] = map[string]string{"id": item.ID}
		}
	}
	return writeResult(w, list)
}

func (d *Door) pushToUsers(ctx context.Context, w http.ResponseWriter, c call) error {
	return pushTo(ctx, w, c, "user_ids", d.c.Push.ToUsers)
}

func (d *Door) pushToDevices(ctx context.Context, w http.ResponseWriter, c call) error {
	return pushTo(ctx, w, c, "device_ids", d.c.Push.ToDevices)
}

func pushTo(ctx context.Context, w http.ResponseWriter, c call, receivers string, to func(context.Context, []string, string, push.Notification) ([]push.Item, error)) error {
	var ids []string
	var topic string
	var n push.Notification
	for name, v := range map[string]any{receivers: &ids, "topic": &topic, "notification": &n} {
		if err := param(c.params, name, v); err != nil {
			return err
		}
	}
	items, err := to(ctx, ids, topic, n)
	if err != nil {
		return err
	}
	list := make([]any, len(items))
	for i, item := range items {
		list[i] = map[string]string{"_id": item.ID}
		if item.Err != nil {
			list[i] = failed(item.ID, item.Err)
		}
	}
	return writeResult(w, list)
}

// failure is an entry of a list that could not be done. Wire: skygear §2.8.
type failure struct {
	ID   string `json:"_id"`
	Type string `json:"_type"`
	web.WireError
}

func failed(id string, err *fault.Error) failure { return failure{id, "error", web.Wire(err)} }
