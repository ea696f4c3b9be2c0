"""Queries of records."""
from .predicate import Predicate


class Query:
    """Which records of a type are wanted, and in which order."""

    def __init__(self, record_type, predicate=None, count=False, limit=50, offset=None, include=()):
        self.record_type = record_type
        self.predicate = Predicate() if predicate is None else predicate
        self.count = count
        self.sort = []
        self.limit = limit
        self.offset = offset
        self.include = list(include)

    def add_order(self, key, order):
        self.sort.append([{"$type": "keypath", "$val": key}, order])
        return self
