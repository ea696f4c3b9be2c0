"""Records through the server."""
from .encoding import deserialize_record, serialize_record
from .error import RecordQueryInvalid, SkygearException
from .models import Record


class Database:
    """The public or the private database of a container."""

    def __init__(self, container, database_id):
        self.container = container
        self.database_id = database_id

    def save(self, arg, atomic=False):
        records = [serialize_record(r) if isinstance(r, Record) else r for r in _list(arg)]
        return self._send("record:save", records=records, atomic=atomic)

    def delete(self, arg):
        ids = [r.id.type + "/" + r.id.key if isinstance(r, Record) else r for r in _list(arg)]
        return self._send("record:delete", ids=ids)

    def query(self, query):
        """The records that a Query finds. Fails with code 120 when the server refuses it."""
        request = {
            "record_type": query.record_type, "predicate": query.predicate.to_dict(), "count": query.count, "sort": query.sort,
            "include": {name: {"$type": "keypath", "$val": name} for name in query.include},
        }
        if not request["predicate"]:
            del request["predicate"]
        if query.offset is not None:
            request["offset"] = query.offset
        if query.limit is not None:
            request["limit"] = query.limit
        answer = self._send("record:query", **request)
        if "error" in answer:
            raise SkygearException(answer["error"]["message"], code=RecordQueryInvalid)
        return [_found(wire) for wire in answer["result"]]

    def _send(self, action, **params):
        return self.container.send_action(action, dict(params, database_id=self.database_id))


def _list(arg):
    return arg if isinstance(arg, list) else [arg]


def _found(wire):
    record = deserialize_record(wire)
    if "_transient" in wire:
        record["_transient"] = {
            k: deserialize_record(v) if isinstance(v, dict) and "_id" in v else v for k, v in wire["_transient"].items()
        }
    if isinstance(wire.get("attachment"), dict):
        record["attachment"] = dict(wire["attachment"])  # the server has signed its address
    return record
