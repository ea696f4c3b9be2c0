package clients_test

import "slices"

const usd = "amount=1000&currency=usd"

func calls() []call {
	return slices.Concat(ofCharges(), ofDeclines(), ofRefunds(), ofCustomers(), ofKeys(), ofCallers())
}

func post(name, path, form string, headers ...string) call {
	return call{name: name, method: "POST", path: "/v1/" + path, form: form, headers: headers}
}

func get(name, path, query string) call {
	return call{name: name, method: "GET", path: "/v1/" + path, form: query}
}

// disputed reads a charge until its dispute is there: the mock opens it a little later.
func disputed(charge string) call {
	c := get(charge+" disputed", "charges/{"+charge+"}", "")
	c.until = "disputed"
	return c
}

func ofCharges() []call {
	cs := []call{
		post("charge", "charges", usd+"&source=tok_visa&receipt_email=ada@example.com&metadata[order]=7"),
		get("charge again", "charges/{charge}", ""),
		get("last charge", "charges", "limit=1"),
		post("describe", "charges/{charge}", "description=beans"),
		post("capital letters", "charges", "amount=1000&currency=USD&source=tok_visa"),
		post("yen", "charges", "amount=50&currency=jpy&source=tok_visa"),
		post("hold", "charges", usd+"&source=tok_visa&capture=false"),
		post("take", "charges/{hold}/capture", ""),
		post("take again", "charges/{hold}/capture", ""),
		post("hold more", "charges", usd+"&source=tok_visa&capture=false"),
		post("take a part", "charges/{hold more}/capture", "amount=600"),
		get("taken in part", "charges/{hold more}", ""),
		post("hold and let go", "charges", usd+"&source=tok_visa&capture=false"),
		post("let go in part", "refunds", "charge={hold and let go}&amount=400"),
		post("let go", "refunds", "charge={hold and let go}"),
		post("take too little", "charges/{hold and let go}/capture", "amount=0"),
		post("no amount", "charges", "currency=usd&source=tok_visa"),
		post("no currency", "charges", "amount=1000&source=tok_visa"),
		post("no source", "charges", usd),
		post("amount 0", "charges", "amount=0&currency=usd&source=tok_visa"),
		post("negative amount", "charges", "amount=-1&currency=usd&source=tok_visa"),
		post("amount of letters", "charges", "amount=abc&currency=usd&source=tok_visa"),
		post("largest", "charges", "amount=99999999&currency=usd&source=tok_visa"),
		post("too large", "charges", "amount=100000000&currency=usd&source=tok_visa"),
		post("smallest", "charges", "amount=50&currency=usd&source=tok_visa"),
		post("unknown currency", "charges", "amount=1000&currency=xyz&source=tok_visa"),
		post("unknown token", "charges", usd+"&source=tok_nothing"),
		post("unknown parameter", "charges", usd+"&source=tok_visa&colour=red"),
		post("unknown customer", "charges", usd+"&customer=cus_nothing"),
		get("no such charge", "charges/ch_nothing", ""),
		post("describe no charge", "charges/ch_nothing", "description=x"),
		post("take no charge", "charges/ch_nothing/capture", ""),
		get("after no charge", "charges", "starting_after=ch_nothing"),
	}
	for _, currency := range []string{"usd", "eur", "cad", "chf", "jpy"} {
		cs = append(cs, post("too small in "+currency, "charges", "amount=49&source=tok_visa&currency="+currency))
	}
	for _, token := range []string{"visa_debit", "mastercard", "mastercard_debit", "mastercard_prepaid", "amex", "riskLevelElevated"} {
		cs = append(cs, post("charge "+token, "charges", usd+"&source=tok_"+token))
	}
	return cs
}

// declines are the test tokens that both know; the mock has no more.
func declines() []string {
	return []string{
		"chargeDeclined", "chargeDeclinedInsufficientFunds", "chargeDeclinedFraudulent", "chargeDeclinedIncorrectCvc",
		"chargeDeclinedExpiredCard", "chargeDeclinedProcessingError", "chargeCustomerFail",
	}
}

func ofDeclines() []call {
	var cs []call
	for _, why := range declines() {
		cs = append(cs,
			post(why, "charges", usd+"&source=tok_"+why),
			get(why+" again", "charges/{"+why+"}", ""),
		)
	}
	return append(cs,
		post("refund of a decline", "refunds", "charge={chargeDeclined}"),
		post("chain, declined", "charges", usd+"&source=tok_chargeDeclined|tok_visa"),
		post("chain, charged", "charges", usd+"&source=tok_chargeDeclined|tok_visa"),
		post("too many", "charges", usd+"&source=tok_429"),
		post("broken", "charges", usd+"&source=tok_500"),
		post("fraud", "charges", usd+"&source=tok_createDispute"),
		disputed("fraud"),
		post("refund of fraud", "refunds", "charge={fraud}"),
		post("not received", "charges", usd+"&source=tok_createDisputeProductNotReceived"),
		disputed("not received"),
		post("refund of not received", "refunds", "charge={not received}"),
		post("inquiry", "charges", usd+"&source=tok_createDisputeInquiry"),
		disputed("inquiry"),
		post("refund of an inquiry", "refunds", "charge={inquiry}"),
	)
}

func ofRefunds() []call {
	return []call{
		post("refund a part", "refunds", "charge={charge}&amount=400&reason=requested_by_customer"),
		post("refund too much", "refunds", "charge={charge}&amount=601"),
		get("refunded in part", "charges/{charge}", ""),
		post("refund the rest", "refunds", "charge={charge}"),
		get("refunded", "charges/{charge}", ""),
		post("refund nothing left", "refunds", "charge={charge}"),
		post("refund a part of nothing left", "refunds", "charge={charge}&amount=1"),
		get("the refunds", "refunds", "charge={charge}"),
		get("the refunds of the charge", "charges/{charge}/refunds", ""),
		get("last refund", "refunds", "charge={charge}&limit=1"),
		get("refund again", "refunds/{refund a part}", ""),
		post("refund 0", "refunds", "charge={yen}&amount=0"),
		post("refund less than 0", "refunds", "charge={yen}&amount=-1"),
		post("refund far too much", "refunds", "charge={yen}&amount=100000000"),
		post("refund of no charge", "refunds", "charge=ch_nothing"),
		get("no such refund", "refunds/re_nothing", ""),
	}
}

func ofCustomers() []call {
	return []call{
		post("customer", "customers", "email=ada@example.com&source=tok_visa"),
		get("customer again", "customers/{customer}", ""),
		post("charge the customer", "charges", usd+"&customer={customer}"),
		get("the customer's charges", "charges", "customer={customer}"),
		post("charge an unknown card of the customer", "charges", usd+"&customer={customer}&source=card_nothing"),
		post("second card", "customers/{customer}/sources", "source=tok_mastercard"),
		post("charge the second card", "charges", usd+"&customer={customer}&source={second card}"),
		post("declined card", "customers/{customer}/sources", "source=tok_chargeDeclined"),
		post("customer who cannot pay", "customers", "source=tok_chargeCustomerFail"),
		post("charge who cannot pay", "charges", usd+"&customer={customer who cannot pay}"),
		post("declined customer", "customers", "source=tok_chargeDeclinedExpiredCard"),
		post("customer without a card", "customers", "email=bob@example.com"),
		post("charge without a card", "charges", usd+"&customer={customer without a card}"),
		post("rename", "customers/{customer}", "description=Ada"),
		get("no such customer", "customers/cus_nothing", ""),
	}
}

func ofKeys() []call {
	key := func(k string) []string { return []string{"Idempotency-Key", k} }
	form := usd + "&source=tok_visa"
	return []call{
		post("once", "charges", form, key("once")...),
		post("once, again", "charges", form, key("once")...),
		post("once, in another order", "charges", "source=tok_visa&currency=usd&amount=1000", key("once")...),
		post("once, other amount", "charges", "amount=2000&currency=usd&source=tok_visa", key("once")...),
		post("once, other parameters", "charges", form+"&description=x", key("once")...),
		post("once, after those", "charges", form, key("once")...),
		post("once, elsewhere", "customers", "email=ada@example.com", key("once")...),
		post("described once", "charges/{once}", "description=x", key("described")...),
		post("described once, elsewhere", "charges/{hold}", "description=x", key("described")...),
		post("declined once", "charges", usd+"&source=tok_chargeDeclined", key("declined")...),
		post("declined once, again", "charges", usd+"&source=tok_chargeDeclined", key("declined")...),
		post("broken once", "charges", usd+"&source=tok_500", key("broken")...),
		post("broken once, again", "charges", usd+"&source=tok_500", key("broken")...),
		post("too many once", "charges", usd+"&source=tok_429|tok_visa", key("many")...),
		post("too many once, again", "charges", usd+"&source=tok_429|tok_visa", key("many")...),
		post("invalid once", "charges", "amount=1&currency=usd&source=tok_visa", key("invalid")...),
		post("invalid once, again", "charges", "amount=1&currency=usd&source=tok_visa", key("invalid")...),
		post("invalid once, repaired", "charges", form, key("invalid")...),
		post("missing once", "charges/ch_nothing/capture", "", key("missing")...),
		post("missing once, again", "charges/ch_nothing/capture", "", key("missing")...),
		post("refund once", "refunds", "charge={once}&amount=300", key("refund")...),
		post("refund once, again", "refunds", "charge={once}&amount=300", key("refund")...),
		get("refunded once", "charges/{once}", ""),
		{name: "read with a used key", method: "GET", path: "/v1/charges/{once}", headers: key("once")},
	}
}

func ofCallers() []call {
	auth := func(value string) []string { return []string{"Authorization", value} }
	return []call{
		post("no key", "charges", usd+"&source=tok_visa", auth("")...),
		post("publishable key", "charges", usd+"&source=tok_visa", auth("Bearer pk_test_0123456789abcdef")...),
		post("live key", "charges", usd+"&source=tok_visa", auth("Bearer sk_live_0123456789abcdef")...),
		post("key as user name", "charges", usd+"&source=tok_visa", auth("Basic c2tfdGVzdF9zYW5kYm94dGVzdDAwMDE6")...),
		get("unknown path", "coffees", ""),
	}
}
