package assets

import (
	"bytes"
	"context"
	"encoding/json"
)

// Complete returns JSON in which every typed asset, however deep, has content type and URL as Describe
// knows them, and nobody else's. Text without assets comes back as it is and costs no statement. With an
// error it is as it was. Wire: skygear §3.10.
func (s *Service) Complete(ctx context.Context, text json.RawMessage) (json.RawMessage, error) {
	if !bytes.Contains(text, []byte(`"asset"`)) {
		return text, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a number keeps its digits
	var tree any
	if err := d.Decode(&tree); err != nil {
		return text, nil // whoever reads it says what is wrong
	}
	found := appendTyped(nil, tree)
	if len(found) == 0 {
		return text, nil
	}
	names := make([]string, len(found))
	for i, a := range found {
		names[i], _ = a["$name"].(string)
	}
	known, err := s.Describe(ctx, names)
	if err != nil {
		return text, err
	}
	for i, a := range found {
		delete(a, "$content_type")
		delete(a, "$url")
		if k, ok := known[names[i]]; ok {
			a["$content_type"], a["$url"] = k.ContentType, k.URL
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(tree)
	return b.Bytes(), err
}

// appendTyped appends the typed assets in a tree of decoded JSON.
func appendTyped(found []map[string]any, v any) []map[string]any {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			found = appendTyped(found, e)
		}
	case map[string]any:
		if name, ok := v["$name"].(string); ok && v["$type"] == "asset" && storable(name) {
			return append(found, v)
		}
		for _, e := range v {
			found = appendTyped(found, e)
		}
	}
	return found
}
