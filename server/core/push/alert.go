package push

import (
	"encoding/json"
	"strconv"
)

// wanted is the notification_info of a subscription: what to push beside a notice. Aps is how old clients
// say it; payloads for the services are what newer ones send.
type wanted struct {
	APS  apsInfo         `json:"aps"`
	APNS json.RawMessage `json:"apns"`
	FCM  json.RawMessage `json:"fcm"`
	GCM  json.RawMessage `json:"gcm"`
}

type apsInfo struct {
	Alert            json.RawMessage `json:"alert"`
	Sound            json.RawMessage `json:"sound"`
	Badge            bool            `json:"should-badge"`
	ContentAvailable bool            `json:"should-send-content-available"`
}

// alert returns the message that a subscriber asked for beside a notice; nil for none.
func (s *Service) alert(to *subscriber, e event) Notification {
	if to.Info == nil || s.c.Senders[to.DeviceType] == nil {
		return nil
	}
	var w wanted
	if json.Unmarshal(*to.Info, &w) != nil { // no message that anybody could send
		return nil
	}
	if to.DeviceType == iOS {
		return Notification{"apns": w.apple(e)}
	}
	return Notification{"fcm": w.google(e)}
}

// apple builds a payload. One that shows nothing wakes the app up.
func (w wanted) apple(e event) json.RawMessage {
	p := members(w.APNS)
	aps := members(p["aps"])
	info := w.APS
	_ = json.Unmarshal(p["aps"], &info) // what does not fit is Apple's to refuse
	delete(aps, "should-badge")
	delete(aps, "should-send-content-available")
	if info.Alert != nil {
		aps["alert"] = info.Alert
	}
	if info.Sound != nil {
		aps["sound"] = info.Sound
	}
	if info.Badge {
		aps["badge"] = json.RawMessage("1")
	}
	if info.ContentAvailable || len(aps) == 0 {
		aps["content-available"] = json.RawMessage("1")
	}
	p["aps"] = object(aps)
	p["_ourd"] = object(members(marshal(e)))
	return object(p)
}

// google builds a payload whose data names the subscription.
func (w wanted) google(e event) json.RawMessage {
	p := members(w.FCM)
	if w.FCM == nil {
		p = members(w.GCM)
	}
	data := members(p["data"])
	data["subscription-id"] = marshal(e.SubscriptionID)
	data["seq-num"] = marshal(strconv.FormatInt(e.Seq, 10))
	p["data"] = object(data)
	if alert := members(w.APS.Alert); p["notification"] == nil && len(alert) > 0 {
		shown := map[string]json.RawMessage{}
		for from, to := range map[string]string{"title": "title", "body": "body", "loc-key": "body_loc_key", "loc-args": "body_loc_args"} {
			if v, ok := alert[from]; ok {
				shown[to] = v
			}
		}
		p["notification"] = object(shown)
	}
	return object(p)
}

// members reads an object; whatever is none has no members.
func members(raw json.RawMessage) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return map[string]json.RawMessage{}
	}
	return m
}

func object(m map[string]json.RawMessage) json.RawMessage { return marshal(m) }

// marshal writes values that can always be written.
func marshal(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}
