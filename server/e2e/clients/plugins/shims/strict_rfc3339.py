# The three names that py-skygear takes from a package of this name.
from datetime import datetime, timezone


class InvalidRFC3339Error(ValueError):
    pass


def rfc3339_to_timestamp(text):
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError as err:
        raise InvalidRFC3339Error(str(err))


def timestamp_to_rfc3339_utcoffset(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
