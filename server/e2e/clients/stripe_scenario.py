"""The story of sandboxtest.Scenario, told by Python's stripe: stripe_scenario.py <url> <key>

It runs on 1.82.1, which the tutorials pin, and on the newest, which tells more of it."""

import http.client
import sys
import urllib.parse

import stripe

url, stripe.api_key = sys.argv[1:]
stripe.api_base = url
new = hasattr(stripe, "PaymentIntent")


def refused(call, want, **params):
    """The error of a call that must fail, with the fields that want names."""
    try:
        call(**params)
    except stripe.StripeError as e:
        body = e.json_body["error"]
        got = dict(body, http_status=e.http_status, error=type(e).__name__)
        for field in want:
            assert got.get(field) == want[field], (field, got)
        return body
    raise AssertionError("%r should have been refused" % params)


def same(got, want):
    assert got == want, "got %r, want %r" % (got, want)


def cards_and_charges():
    customer = stripe.Customer.create(email="ada@example.com", source="tok_visa", metadata={"club": "beans"})
    by_customer = stripe.Charge.create(amount=700, currency="usd", customer=customer.id)
    same(by_customer.customer, customer.id)
    same(stripe.Customer.retrieve(customer.id).metadata.club, "beans")
    card = stripe.Customer.create_source(customer.id, source="tok_mastercard")
    second = stripe.Charge.create(amount=800, currency="usd", customer=customer.id, source=card.id)
    same(second.source.last4, "4444")
    same([c.last4 for c in stripe.Customer.list_sources(customer.id, limit=5).data], ["4444", "4242"])
    order = dict(
        amount=1000, currency="usd", source="tok_visa", description="beans & <milk> \u2615",
        metadata={"order": "7"}, expand=["balance_transaction"],
    )
    charge = stripe.Charge.create(idempotency_key="order-7", **order)
    same(stripe.Charge.create(idempotency_key="order-7", **order).id, charge.id)
    same(charge.balance_transaction.net, 941)
    same(stripe.BalanceTransaction.retrieve(charge.balance_transaction.id).source, charge.id)
    same(len(stripe.BalanceTransaction.list(limit=2).data), 2)
    same(charge.description, order["description"])
    same((charge.paid, charge.status, charge.metadata.order), (True, "succeeded", "7"))
    other = dict(order, amount=2000, idempotency_key="order-7")
    refused(stripe.Charge.create, {"http_status": 400, "type": "idempotency_error", "error": "IdempotencyError"}, **other)
    same(stripe.Charge.modify(charge.id, description="ground beans").description, "ground beans")
    page = stripe.Charge.list(customer=customer.id, limit=1)
    same([c.id for c in page.data], [second.id])
    same([c.id for c in page.auto_paging_iter()], [second.id, by_customer.id])
    same(stripe.Customer.retrieve(customer.id).delete().deleted, True)
    return charge


def declines():
    card = {"http_status": 402, "type": "card_error", "error": "CardError"}
    want = dict(card, code="card_declined", decline_code="insufficient_funds")
    body = refused(stripe.Charge.create, want, amount=1000, currency="usd", source="tok_chargeDeclinedInsufficientFunds")
    same(stripe.Charge.retrieve(body["charge"]).status, "failed")
    want = dict(card, code="expired_card", param="exp_month")
    refused(stripe.Charge.create, want, amount=1000, currency="usd", source="tok_chargeDeclinedExpiredCard")
    invalid = {"http_status": 400, "error": "InvalidRequestError"}
    refused(stripe.Charge.create, dict(invalid, param="source"), amount=1000, currency="usd", source="tok_nothing")
    refused(stripe.Charge.create, dict(invalid, code="amount_too_small"), amount=1, currency="usd", source="tok_visa")
    wrong = {"http_status": 401, "error": "AuthenticationError"}
    refused(stripe.Charge.create, wrong, amount=1000, currency="usd", source="tok_visa", api_key="sk_test_wrong")


def refunds(charge):
    part = stripe.Refund.create(charge=charge.id, amount=400, reason="requested_by_customer")
    same((part.amount, part.status), (400, "succeeded"))
    refused(stripe.Refund.create, {"http_status": 400, "param": "amount"}, charge=charge.id, amount=601)
    key = {"idempotency_key": "rest-of-7"}
    rest = stripe.Refund.create(charge=charge.id, **key)
    same(stripe.Refund.create(charge=charge.id, **key).id, rest.id)
    refused(stripe.Refund.create, {"code": "charge_already_refunded"}, charge=charge.id)
    same([r.id for r in stripe.Refund.list(charge=charge.id)], [rest.id, part.id])
    now = stripe.Charge.retrieve(charge.id, expand=["refunds"])
    same((now.amount_refunded, now.refunded, len(now.refunds.data)), (1000, True, 2))
    if not new:
        tell_as_before_2019()
    missing = {"http_status": 404, "code": "resource_missing", "error": "InvalidRequestError"}
    refused(stripe.Charge.retrieve, missing, id="ch_nothing")


def tell_as_before_2019():
    """What only the old library has: calls on objects and on the lists in them."""
    charge = stripe.Charge.create(amount=1000, currency="usd", source="tok_visa", capture=False)
    charge.capture(amount=900)
    charge.description = "taken"
    same(charge.save().description, "taken")
    same(charge.refunds.create(amount=100).amount, 100)
    same(charge.refund(amount=200).amount_refunded, 400)
    customer = stripe.Customer.create(email="bob@example.com")
    card = customer.sources.create(source="tok_visa")
    same(card.last4, "4242")
    customer.email = "rob@example.com"
    same((customer.save().email, customer.save().default_source), ("rob@example.com", card.id))


def intents():
    intent = stripe.PaymentIntent.create(amount=1300, currency="usd", payment_method_types=["card"], metadata={"order": "8"})
    declined = {"http_status": 402, "code": "card_declined"}
    body = refused(intent.confirm, declined, payment_method="pm_card_visa_chargeDeclined")
    same(body["payment_intent"]["id"], intent.id)
    paid = stripe.PaymentIntent.confirm(intent.id, payment_method="pm_card_visa", expand=["latest_charge"])
    same((paid.status, paid.latest_charge.amount), ("succeeded", 1300))
    asks = stripe.PaymentIntent.create(
        amount=1300, currency="usd", payment_method_types=["card"], confirm=True,
        payment_method="pm_card_authenticationRequired", return_url="http://shop.example/back",
    )
    same(asks.next_action.redirect_to_url.url, "%s/_stripe/3ds/%s" % (url, asks.id))
    same(stripe.PaymentIntent.cancel(asks.id).status, "canceled")


def sessions():
    def item(name, amount, quantity):
        return {"quantity": quantity, "price_data": {"currency": "usd", "unit_amount": amount, "product_data": {"name": name}}}

    basket = dict(
        mode="payment", success_url="http://shop.example/orders/7?cs={CHECKOUT_SESSION_ID}", cancel_url="http://shop.example/",
        customer_email="ada@example.com", line_items=[item("Beans", 1450, 2), item("Cup", 600, 1)],
    )
    session = stripe.checkout.Session.create(idempotency_key="basket-7", **basket)
    same(stripe.checkout.Session.create(idempotency_key="basket-7", **basket).id, session.id)
    same((session.amount_total, session.payment_status), (3500, "unpaid"))
    same([i.quantity for i in stripe.checkout.Session.list_line_items(session.id).data], [2, 1])
    same(press_pay(session.url), (303, "http://shop.example/orders/7?cs=" + session.id))
    session = stripe.checkout.Session.retrieve(session.id)
    same((session.status, session.payment_status), ("complete", "paid"))
    same(stripe.Refund.create(payment_intent=session.payment_intent).amount, 3500)
    late = stripe.checkout.Session.create(**basket)
    same(stripe.checkout.Session.expire(late.id).status, "expired")


def press_pay(page):
    """What the hosted page's form does, and where it leads."""
    at = urllib.parse.urlsplit(page)
    form = urllib.parse.urlencode({"number": "4242424242424242", "expiry": "12 / 40", "cvc": "123"})
    connection = http.client.HTTPConnection(at.netloc, timeout=20)
    connection.request("POST", at.path, form, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.getheader("Location")


def events():
    kinds = {e.type for e in stripe.Event.list(limit=100).data}
    want = {"customer.created", "customer.deleted", "charge.succeeded", "charge.failed", "charge.refunded"}
    if new:
        want |= {"refund.created", "payment_intent.requires_action", "payment_intent.payment_failed", "payment_intent.canceled"}
        want |= {"checkout.session.completed", "checkout.session.expired"}
    same(want - kinds, set())


refunds(cards_and_charges())
declines()
if new:
    intents()
    sessions()
events()
print("ok", stripe.VERSION)
