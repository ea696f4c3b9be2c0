"""Where skygear.encoding was once."""
from ..encoding import deserialize_or_none, deserialize_record, deserialize_value, serialize_record, serialize_value

__all__ = ["deserialize_or_none", "deserialize_record", "deserialize_value", "serialize_record", "serialize_value"]
