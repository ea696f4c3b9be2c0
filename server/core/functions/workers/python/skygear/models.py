"""Records and the values in them."""

ACCESS_CONTROL_ENTRY_LEVEL_WRITE = "write"
ACCESS_CONTROL_ENTRY_LEVEL_READ = "read"
ACCESS_CONTROL_ENTRY_RELATION_FRIEND = "friend"
ACCESS_CONTROL_ENTRY_RELATION_FOLLOW = "follow"


class Value:
    """Equal to another one of its class with equal parts."""

    def __eq__(self, other):
        return isinstance(self, other.__class__) and self.__dict__ == other.__dict__

    def __hash__(self):
        return hash(tuple(self.__dict__.values()))


class Record:
    """One record. Its fields are read and written like those of a dict; what the server keeps is read-only, but for the
    access list."""

    def __init__(self, id, owner_id, acl, created_at=None, created_by=None, updated_at=None, updated_by=None, data=None):
        self._id = id
        self._owner_id = owner_id
        self._acl = acl
        self._created_at, self._created_by = created_at, created_by
        self._updated_at, self._updated_by = updated_at, updated_by
        self._data = data or {}

    id = property(lambda self: self._id)
    owner_id = property(lambda self: self._owner_id)
    acl = property(lambda self: self._acl, lambda self, acl: setattr(self, "_acl", acl))
    created_at = property(lambda self: self._created_at)
    created_by = property(lambda self: self._created_by)
    updated_at = property(lambda self: self._updated_at)
    updated_by = property(lambda self: self._updated_by)
    data = property(lambda self: self._data)

    def __len__(self):
        return len(self._data)

    def __iter__(self):
        return iter(self._data)

    def __contains__(self, key):
        return key in self._data

    def __getitem__(self, key):
        return self._data[key]

    def __setitem__(self, key, value):
        self._data[key] = value

    def __delitem__(self, key):
        del self._data[key]

    def get(self, key, default=None):
        return self._data.get(key, default)


class RecordID(Value):
    """type/key."""

    def __init__(self, type_, key):
        if not type_:
            raise ValueError("a record id needs a type")
        if not key:
            raise ValueError("a record id needs a key")
        self._type, self._key = type_, key

    type = property(lambda self: self._type)
    key = property(lambda self: self._key)


class AccessControlEntry:
    def __init__(self, level):
        self.level = level


class PublicAccessControlEntry(AccessControlEntry):
    pass


class RelationalAccessControlEntry(AccessControlEntry):
    def __init__(self, relation, level):
        super().__init__(level)
        self.relation = relation


class RoleAccessControlEntry(AccessControlEntry):
    def __init__(self, role, level):
        super().__init__(level)
        self.role = role


class DirectAccessControlEntry(AccessControlEntry):
    def __init__(self, user_id, level):
        super().__init__(level)
        self.user_id = user_id


class Asset(Value):
    def __init__(self, name, content_type=None):
        if not name:
            raise ValueError("an asset needs a name")
        self.name = name
        self.content_type = content_type


class Location(Value):
    """A point in degrees."""

    def __init__(self, lng, lat):
        self.lng, self.lat = lng, lat


class Reference(Value):
    """Points to the record with that RecordID."""

    def __init__(self, recordID):
        if recordID is None:
            raise ValueError("a reference needs a record id")
        self.recordID = recordID


class UnknownValue(Value):
    """A value of a database type that the wire cannot express."""

    def __init__(self, underlyingType):
        self.underlyingType = underlyingType
