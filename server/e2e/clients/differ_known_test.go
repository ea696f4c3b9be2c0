package clients_test

// known is where the sandbox and stripe-stateful-mock 0.0.16 differ on purpose. Messages are not compared.
func known() []difference {
	const refusal = " type=invalid_request_error"
	const charged = "amount=1000 amount_refunded=0 captured=true http=200 object=charge of="
	list := []difference{
		{
			"amount of letters", "code=parameter_invalid_integer http=400 param=amount" + refusal, "amount_refunded=0 captured=true http=200 object=charge of=amount of letters status=succeeded",
			"the mock charges what is no number",
		},
		{
			"unknown token", "code=resource_missing http=400 param=source" + refusal, "http=500",
			"the mock throws; Stripe says that there is no such token",
		},
		{
			"unknown parameter", "code=parameter_unknown http=400 param=colour" + refusal, charged + "unknown parameter status=succeeded",
			"the mock ignores parameters that Stripe refuses",
		},
		{
			"unknown customer", "http=400", "http=404",
			"an id in a parameter is a 400 in Stripe today",
		},
		{
			"after no charge", "http=400", "http=404",
			"an id in a parameter is a 400 in Stripe today",
		},
		{
			"take too little", "code=charge_already_refunded", "code=parameter_invalid_integer param=amount",
			"both refuse; we look at the charge, which was let go, before the amount",
		},
		{
			"refund of a decline", "code=charge_not_refundable http=400" + refusal, "amount=1000 http=200 object=refund of=refund of a decline status=succeeded",
			"the mock gives back money that was never taken",
		},
		{
			"too many", refusal[1:], "type=rate_limit_error",
			"the mock guesses; Stripe's 429 is an invalid_request_error with the code rate_limit",
		},
		{
			"too many once", refusal[1:], "type=rate_limit_error",
			"as for \"too many\"",
		},
		{
			"refund far too much", "", "code=amount_too_large",
			"both refuse the amount; ours is more than the charge, the mock's more than any charge",
		},
		{
			"no such refund", "param=refund", "param=id",
			"the mock names the id of every path so; nothing that we know depends on the name",
		},
		{
			"the customer's charges", "count=1", "count=0",
			"the mock does not write the customer into the charge",
		},
		{
			"charge without a card", "http=402", "http=404",
			"a card_error is a 402, as stripe-node 282 shows",
		},
		{
			"once, elsewhere", "http=400 type=idempotency_error", "http=200 object=customer of=once, elsewhere",
			"the mock's keys hold for one path; Stripe's for the account",
		},
		{
			"described once, elsewhere", "http=400 type=idempotency_error", charged + "hold status=succeeded",
			"as for \"once, elsewhere\"",
		},
		{
			"invalid once, again", "replayed=false", "replayed=true",
			"Stripe does not keep what failed validation",
		},
		{
			"invalid once, repaired", charged + "invalid once, repaired status=succeeded", "http=400 type=idempotency_error",
			"as for \"invalid once, again\"",
		},
		{
			"missing once, again", "replayed=false", "replayed=true",
			"as for \"invalid once, again\"",
		},
	}
	for _, why := range declines() {
		list = append(list, difference{why + " again", "captured=false", "captured=true", "Stripe's failed charges are not captured"})
	}
	return list
}
