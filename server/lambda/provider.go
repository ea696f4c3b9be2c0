package lambda

import (
	"context"
	"encoding/json"
)

// Identity is who an auth provider says that somebody is.
type Identity struct {
	Principal string `json:"principal_id"` // always the same for one person; "": nobody, the log-in is refused
	Keep      any    `json:"auth_data"`    // JSON that is kept with the account
}

// ProviderRequest is what an auth provider gets. The server asks for the action "login" only.
type ProviderRequest struct {
	Action string          `json:"action"`
	Data   json.RawMessage `json:"auth_data"` // provider_auth_data of the request, an object
}

// Provides declares an auth provider: log-ins and sign-ups that name it as their provider go by what login says of
// their provider_auth_data, which is decoded into In. An *Error of any kind but Busy refuses the log-in, and the
// message stays in the log; any other error is internal. An account belongs to the provider's name and the principal.
func Provides[In any](name string, login func(context.Context, *Call, In) (Identity, error), opts ...Option) Function {
	f := Raw(name, func(ctx context.Context, c *Call, args json.RawMessage) (json.RawMessage, error) {
		var r ProviderRequest
		if err := json.Unmarshal(args, &r); err != nil {
			return nil, err
		}
		var in In
		if err := json.Unmarshal(r.Data, &in); err != nil {
			return nil, InvalidArgument("provider_auth_data", "provider_auth_data is not in the form that the provider documents")
		}
		who, err := login(ctx, c, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(who)
	}, opts...)
	f.Provider = true
	return f
}
