"""Values of the wire to Python's and back."""
import re
from datetime import datetime, timedelta, timezone

from .models import (
    Asset, DirectAccessControlEntry, Location, PublicAccessControlEntry, Record, RecordID, Reference,
    RelationalAccessControlEntry, RoleAccessControlEntry, UnknownValue,
)

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|z|[+-]\d\d:\d\d)$")


def decode_date(text):
    """A moment as the naive local time that functions have always had; workers run in UTC."""
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError("%r is no RFC 3339 date" % text)
    day, clock, fraction, zone = match.groups()
    moment = datetime.strptime(day + " " + clock, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    moment += timedelta(microseconds=int((fraction or "0")[:6].ljust(6, "0")))
    if zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        moment += -offset if zone[0] == "+" else offset
    return moment.astimezone().replace(tzinfo=None)


def encode_date(moment):
    moment = moment.astimezone(timezone.utc)
    fraction = (".%06d" % moment.microsecond).rstrip("0") if moment.microsecond else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def decode_id(text):
    kind, _, key = text.partition("/")
    return RecordID(kind, key)


def encode_id(id):
    return "%s/%s" % (id.type, id.key)


def decode_access(entries):
    if entries is None:
        return None
    if not isinstance(entries, list):
        raise TypeError("an access list must be a list")
    return [_decode_entry(e) for e in entries]


def _decode_entry(entry):
    level = entry.get("level")
    if level is None:
        raise ValueError("an access entry needs a level")
    if entry.get("user_id") is not None:
        return DirectAccessControlEntry(entry["user_id"], level)
    if entry.get("relation") is not None:
        return RelationalAccessControlEntry(entry["relation"], level)
    if entry.get("role") is not None:
        return RoleAccessControlEntry(entry["role"], level)
    if entry.get("public") is not None:
        return PublicAccessControlEntry(level)
    raise ValueError("an access entry needs user_id, role, relation or public")


def encode_access(entries):
    return None if entries is None else [_encode_entry(e) for e in entries]


def _encode_entry(entry):
    if isinstance(entry, RelationalAccessControlEntry):
        return {"level": entry.level, "relation": entry.relation}
    if isinstance(entry, DirectAccessControlEntry):
        return {"level": entry.level, "user_id": entry.user_id}
    if isinstance(entry, RoleAccessControlEntry):
        return {"level": entry.level, "role": entry.role}
    if isinstance(entry, PublicAccessControlEntry):
        return {"level": entry.level, "public": True}
    raise ValueError("%s is no access entry" % type(entry).__name__)


_TYPED = {
    "date": lambda v: decode_date(v["$date"]),
    "asset": lambda v: Asset(v["$name"], v.get("$content_type")),
    "geo": lambda v: Location(v["$lng"], v["$lat"]),
    "ref": lambda v: Reference(decode_id(v["$id"])),
    "unknown": lambda v: UnknownValue(v.get("$underlying_type")),
    "record": lambda v: deserialize_record(v["$record"]),
}


def deserialize_value(value):
    if isinstance(value, dict):
        kind = value.get("$type")
        typed = _TYPED.get(kind) if isinstance(kind, str) else None
        if typed is not None:
            return typed(value)
        return {k: deserialize_value(v) for k, v in value.items()}
    if isinstance(value, list):
        return [deserialize_value(v) for v in value]
    return value


def serialize_value(value):
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, dict):
        return {k: serialize_value(v) for k, v in value.items()}
    if isinstance(value, list):
        return [serialize_value(v) for v in value]
    if isinstance(value, datetime):
        return {"$type": "date", "$date": encode_date(value)}
    if isinstance(value, Asset):
        return {"$type": "asset", "$name": value.name, "$content_type": value.content_type}
    if isinstance(value, Location):
        return {"$type": "geo", "$lng": value.lng, "$lat": value.lat}
    if isinstance(value, Reference):
        return {"$type": "ref", "$id": encode_id(value.recordID)}
    if isinstance(value, UnknownValue):
        return {"$type": "unknown", "$underlying_type": value.underlyingType} if value.underlyingType else {"$type": "unknown"}
    if isinstance(value, Record):
        return {"$type": "record", "$record": serialize_record(value)}
    return value


def deserialize_record(wire):
    def moment(name):
        return decode_date(wire[name]) if wire.get(name) else None

    return Record(
        id=decode_id(wire["_id"]), owner_id=wire.get("_ownerID"), acl=decode_access(wire.get("_access")),
        created_at=moment("_created_at"), created_by=wire.get("_created_by"),
        updated_at=moment("_updated_at"), updated_by=wire.get("_updated_by"),
        data={k: deserialize_value(v) for k, v in wire.items() if not k.startswith("_")})


def deserialize_or_none(wire):
    return deserialize_record(wire) if wire else None


def serialize_record(record):
    wire = {k: serialize_value(v) for k, v in record.data.items()}
    wire.update(_id=encode_id(record.id), _access=encode_access(record.acl))
    if record.owner_id:
        wire["_ownerID"] = record.owner_id
    if record.created_at is not None:
        wire.update(_created_at=encode_date(record.created_at), _created_by=record.created_by)
    if record.updated_at is not None:
        wire.update(_updated_at=encode_date(record.updated_at), _updated_by=record.updated_by)
    return wire
