package lambda

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// MarshalJSON writes the record as the wire shows it, so that a function may answer with records.
func (r Record) MarshalJSON() ([]byte, error) {
	m := make(map[string]any, len(r.Fields)+6)
	for name, v := range r.Fields {
		if v != nil { // an empty column is absent
			m[name] = wireValue(v)
		}
	}
	m["_id"], m["_type"], m["_ownerID"] = r.ID, "record", r.Owner
	m["_access"] = nil
	if r.Access != nil {
		m["_access"] = accessJSON(r.Access)
	}
	if !r.CreatedAt.IsZero() {
		m["_created_at"], m["_updated_at"] = wireTime(r.CreatedAt), wireTime(r.UpdatedAt)
	}
	return json.Marshal(m)
}

func accessJSON(entries []AccessEntry) []map[string]any {
	list := make([]map[string]any, len(entries))
	for i, e := range entries {
		a := map[string]any{"level": e.Level}
		switch {
		case e.Public:
			a["public"] = true
		case e.Role != "":
			a["role"] = e.Role
		default:
			a["user_id"] = e.User
		}
		list[i] = a
	}
	return list
}

func wireValue(v any) any {
	switch v := v.(type) {
	case time.Time:
		return map[string]any{"$type": "date", "$date": wireTime(v)}
	case Reference:
		return map[string]any{"$type": "ref", "$id": string(v)}
	case Location:
		return map[string]any{"$type": "geo", "$lat": v.Lat, "$lng": v.Lng}
	}
	return v
}

func wireTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// UnmarshalJSON reads the record as the wire shows it. Numbers are float64; arrays, objects and what has no type here
// stay JSON.
func (r *Record) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	*r = Record{Fields: map[string]any{}}
	for name, raw := range members {
		if err := r.take(name, raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (r *Record) take(name string, raw json.RawMessage) error {
	switch name {
	case "_id":
		return json.Unmarshal(raw, &r.ID)
	case "_ownerID":
		return json.Unmarshal(raw, &r.Owner)
	case "_created_at":
		return json.Unmarshal(raw, &r.CreatedAt)
	case "_updated_at":
		return json.Unmarshal(raw, &r.UpdatedAt)
	case "_access":
		return r.takeAccess(raw)
	}
	if strings.HasPrefix(name, "_") {
		return nil
	}
	v, err := fieldValue(raw)
	r.Fields[name] = v
	return err
}

func (r *Record) takeAccess(raw json.RawMessage) error {
	var entries []struct {
		Level, Role string
		Public      bool
		User        string `json:"user_id"`
	}
	if err := json.Unmarshal(raw, &entries); err != nil || entries == nil {
		return err
	}
	r.Access = []AccessEntry{}
	for _, e := range entries {
		r.Access = append(r.Access, AccessEntry{Level: e.Level, Public: e.Public, Role: e.Role, User: e.User})
	}
	return nil
}

func fieldValue(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case '[':
		return raw, nil
	case '{':
		var typed struct {
			Type string     `json:"$type"`
			Date *time.Time `json:"$date"`
			ID   string     `json:"$id"`
		}
		if err := json.Unmarshal(raw, &typed); err != nil {
			return raw, nil // an object of the app's own
		}
		switch {
		case typed.Type == "date" && typed.Date != nil:
			return *typed.Date, nil
		case typed.Type == "ref":
			return Reference(typed.ID), nil
		case typed.Type == "geo":
			var at struct {
				Lat float64 `json:"$lat"`
				Lng float64 `json:"$lng"`
			}
			err := json.Unmarshal(raw, &at)
			return Location{Lat: at.Lat, Lng: at.Lng}, err
		}
		return raw, nil
	}
	var v any
	err := json.Unmarshal(raw, &v)
	return v, err
}
