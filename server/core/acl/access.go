package acl

import (
	"encoding/json"
	"slices"

	"crema/server/base/fault"
)

// Level is what somebody wants to do with a record. Write includes Read.
type Level string

// The levels.
const (
	Read  Level = "read"
	Write Level = "write"
)

// Entry grants Level to everybody (Public), to a role or to a user. Relation is kept and echoed but
// grants nothing by itself; with the old relation "$direct" the entry grants by its UserID.
// Wire: skygear §3.6.
type Entry struct {
	Level    Level
	Public   bool
	Role     string
	UserID   string
	Relation string
}

// Access is the list that a record carries. Nil lets everybody read and every user write; an empty
// list leaves the record to its owner.
type Access []Entry

// Subject is what a verdict needs to know of a record.
type Subject struct {
	Access   Access
	Owner    string
	Database string // "" is the public one, else the user id it belongs to
}

// incomplete says whether an entry lacks what it must have.
func (e Entry) incomplete() bool {
	return e.Level == "" || !e.Public && e.Role == "" && e.UserID == "" && e.Relation == ""
}

// wireEntry tells what was sent from what was not.
type wireEntry struct {
	Level    *string `json:"level"`
	Public   *bool   `json:"public"`
	Role     *string `json:"role"`
	UserID   *string `json:"user_id"`
	Relation *string `json:"relation"`
}

// Decode reads a list from its JSON form. JSON null is the nil list. It fails with acl.malformed,
// whose argument is _access.
func Decode(raw json.RawMessage) (Access, error) {
	if access, ok := scan(raw); ok && !slices.ContainsFunc(access, Entry.incomplete) {
		return access, nil
	}
	var entries []*wireEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, malformed("_access must be null or an array of entries like {\"level\":\"read\",\"public\":true}")
	}
	if entries == nil {
		return nil, nil
	}
	access := make(Access, 0, len(entries))
	for i, w := range entries {
		e, ok := w.entry()
		if !ok {
			return nil, malformed("entry %d of _access needs a level (read or write) and one of public: true, role, user_id or relation", i)
		}
		access = append(access, e)
	}
	return access, nil
}

func malformed(format string, args ...any) *fault.Error {
	return fault.Argument("acl.malformed", "_access", format, args...)
}

func (w *wireEntry) entry() (Entry, bool) {
	if w == nil || w.Level == nil || *w.Level != string(Read) && *w.Level != string(Write) {
		return Entry{}, false
	}
	e := Entry{Level: Level(*w.Level), Public: w.Public != nil && *w.Public}
	for _, s := range []struct {
		from *string
		to   *string
	}{{w.Role, &e.Role}, {w.UserID, &e.UserID}, {w.Relation, &e.Relation}} {
		if s.from == nil {
			continue
		}
		if *s.from == "" {
			return Entry{}, false
		}
		*s.to = *s.from
	}
	return e, !e.incomplete()
}
