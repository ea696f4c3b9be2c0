package records

import "crema/server/base/fault"

// AppendJSON appends the wire form of r.
func AppendJSON(b []byte, r *Record) []byte { return b }

// AppendResult appends one entry of a save, fetch or delete: the record, {"_id","_type":"record"} after
// a delete, or {"_id","_type":"error","name","code","message","info"}; wire says what name and number
// an error has.
func AppendResult(b []byte, r Result, wire func(*fault.Error) (name string, code int)) []byte {
	return b
}

// AppendPage appends the array of a page's records.
func AppendPage(b []byte, p Page) []byte { return b }
