package fcm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// object is a JSON object whose members are kept as they are.
type object = map[string]json.RawMessage

// translate makes the body of a request from a payload: one of HTTP v1, perhaps inside "message", passes
// with its data turned into texts; one of the interfaces before it is put in today's places. The receiver
// is always the device.
func translate(token string, payload json.RawMessage) ([]byte, error) {
	var p object
	if err := json.Unmarshal(payload, &p); err != nil || p == nil {
		return nil, fmt.Errorf("the payload is not an object")
	}
	message, dry := p, p["dry_run"]
	if inner, ok := p["message"]; ok {
		message = nil
		if err := json.Unmarshal(inner, &message); err != nil || message == nil {
			return nil, fmt.Errorf("message is not an object")
		}
		dry = p["validate_only"]
	} else if !isV1(p) {
		var err error
		if message, err = modern(p); err != nil {
			return nil, err
		}
	}
	data, err := texts(message["data"])
	if err != nil {
		return nil, err
	}
	delete(message, "data")
	if data != nil {
		message["data"] = data
	}
	for _, other := range []string{"topic", "condition", "name", "dry_run"} {
		delete(message, other)
	}
	message["token"] = quote(token)
	body := map[string]any{"message": message}
	if string(dry) == "true" {
		body["validate_only"] = true
	}
	return json.Marshal(body)
}

func isV1(p object) bool {
	for _, name := range []string{"android", "apns", "webpush", "fcm_options"} {
		if _, ok := p[name]; ok {
			return true
		}
	}
	return false
}

func quote(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string can always be written
	return b
}

// texts turns the values of data into texts, which is all that Google takes today: what is none becomes
// its JSON.
func texts(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var values object
	if json.Unmarshal(raw, &values) != nil {
		return nil, fmt.Errorf("data is not an object")
	}
	for name, v := range values {
		if v = bytes.TrimSpace(v); v[0] != '"' {
			values[name] = quote(string(v))
		}
	}
	return json.Marshal(values)
}

// renamed are the members of a notification whose place is android.notification.
var renamed = map[string]string{
	"icon": "icon", "color": "color", "sound": "sound", "tag": "tag", "click_action": "click_action",
	"body_loc_key": "body_loc_key", "body_loc_args": "body_loc_args", "title_loc_key": "title_loc_key",
	"title_loc_args": "title_loc_args", "android_channel_id": "channel_id", "channel_id": "channel_id",
}

// modern moves the members of an old payload to where HTTP v1 has them.
func modern(old object) (object, error) {
	message, android := object{}, object{}
	for _, name := range []string{"collapse_key", "priority", "restricted_package_name"} {
		if v, ok := old[name]; ok {
			android[name] = v
		}
	}
	if v, ok := old["time_to_live"]; ok {
		seconds, err := strconv.ParseFloat(string(bytes.Trim(v, `"`)), 64)
		if err != nil || seconds < 0 {
			return nil, fmt.Errorf("time_to_live is not a number of seconds")
		}
		android["ttl"] = quote(strconv.FormatFloat(seconds, 'f', -1, 64) + "s")
	}
	if v, ok := old["data"]; ok {
		message["data"] = v
	}
	if err := notification(old["notification"], message, android); err != nil {
		return nil, err
	}
	if len(android) > 0 {
		raw, err := json.Marshal(android)
		if err != nil {
			return nil, err
		}
		message["android"] = raw
	}
	return message, nil
}

func notification(raw json.RawMessage, message, android object) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var old object
	if json.Unmarshal(raw, &old) != nil {
		return fmt.Errorf("notification is not an object")
	}
	shown, own := object{}, object{}
	for _, name := range []string{"title", "body", "image"} {
		if v, ok := old[name]; ok {
			shown[name] = v
		}
	}
	for from, to := range renamed {
		if v, ok := old[from]; ok {
			own[to] = list(v)
		}
	}
	var err error
	if len(shown) > 0 {
		message["notification"], err = json.Marshal(shown)
	}
	if err == nil && len(own) > 0 {
		android["notification"], err = json.Marshal(own)
	}
	return err
}

// list reads an array that was sent as a text, as arguments of translations used to be.
func list(v json.RawMessage) json.RawMessage {
	var text string
	var items []json.RawMessage
	if json.Unmarshal(v, &text) == nil && json.Unmarshal([]byte(text), &items) == nil {
		return json.RawMessage(text)
	}
	return v
}
