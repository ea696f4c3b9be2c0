package records

import (
	"encoding/json"

	"crema/server/base/fault"
)

// Params are the parameters of a request of the wire by name.
type Params = map[string]json.RawMessage

// DecodeSave reads the parameters of record:save. Entries that cannot be read stay in their place with
// their error.
func DecodeSave(p Params) (SaveRequest, error) { return SaveRequest{}, notYet() }

// DecodeIDs reads the parameters of record:fetch and record:delete.
func DecodeIDs(p Params) (IDsRequest, error) { return IDsRequest{}, notYet() }

// DecodeQuery reads the parameters of record:query.
func DecodeQuery(p Params) (Query, error) { return Query{}, notYet() }

// DecodeRecord reads one record in its wire form. It fails with an Invalid error that names the field.
func DecodeRecord(raw []byte) (*Record, error) { return nil, notYet() }

func notYet() *fault.Error { return fault.New(fault.NotImplemented, "records.skeleton", "not yet") }
