"""Quotes shipping before the checkout: GET /shipping/quote?country=DE&grams=750."""
import json

import skygear

# Prices in cents: for a parcel, and for every further kilogram that has been begun.
ZONES = {
    "US": {"standard": (495, 150, "3-5 days"), "express": (1495, 400, "1-2 days")},
    "CA": {"standard": (995, 300, "5-8 days")},
    "*": {"standard": (1995, 700, "7-14 days")},
}
FREE_FROM_GRAMS = {"US": 2500}  # standard only
HEAVIEST = 20000


def quote(country, grams):
    options = []
    for service, (parcel, kilogram, takes) in ZONES.get(country, ZONES["*"]).items():
        price = parcel + kilogram * ((grams - 1) // 1000)
        if service == "standard" and grams >= FREE_FROM_GRAMS.get(country, HEAVIEST + 1):
            price = 0
        options.append({"service": service, "price": price, "takes": takes})
    return {"country": country, "grams": grams, "currency": "usd", "options": options}


@skygear.handler("shipping/quote", method=["GET"])
def shipping_quote(request):
    country = request.args.get("country", "").upper()
    grams = request.args.get("grams", default=0, type=int)
    if len(country) != 2 or not country.isalpha():
        return refuse("country must be two letters such as US")
    if not 1 <= grams <= HEAVIEST:
        return refuse("grams must be a whole number from 1 to %d" % HEAVIEST)
    return quote(country, grams)


def refuse(why):
    return skygear.Response(json.dumps({"error": why}), status=400, mimetype="application/json")
