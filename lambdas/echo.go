package lambdas

import (
	"context"

	"crema/server/lambda"
)

// echoIn is what echo takes and what it gives back.
type echoIn struct {
	Message string `json:"message"`
	Count   int    `json:"count" lambda:"optional"`
}

// echo answers with its arguments: the smallest function there is.
func echo(_ context.Context, _ *lambda.Call, in echoIn) (echoIn, error) { return in, nil }
