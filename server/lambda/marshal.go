package lambda

import (
	"encoding/json"
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
